"""A sandbox for the length of a block, ended at once where its run is stopped meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from glovebox.domain.errors import RunStopped, SandboxError
from glovebox.domain.run import Run
from glovebox.ports import Clock, Runs, Sandbox, Sandboxes, SandboxRequest
from glovebox.usecases.watch import RunWatch


@contextmanager
def fresh_sandbox(
    sandboxes: Sandboxes, request: SandboxRequest, runs: Runs, clock: Clock, run: Run
) -> Iterator[Sandbox]:
    """Create a sandbox and kill it at the end, whatever happened. A kill that fails hides
    nothing: the ledger knows the sandbox, so that the sweeper ends it, or its TTL does.

    Raises RunStopped where the run was stopped before or during the block.
    """
    watch = RunWatch(runs, clock, run.run_id, run.deadline_at)
    if watch.look():
        raise RunStopped(run.run_id)
    sandbox = sandboxes.create(request)

    def kill() -> None:
        with suppress(SandboxError):
            sandboxes.kill(sandbox.sandbox_id)

    watch.on_stop = kill
    try:
        runs.note_sandbox(run.run_id, sandbox.sandbox_id, clock.now() + request.ttl_seconds)
        with watch:
            yield sandbox
    except SandboxError as error:
        if watch.stopped():
            # Not the provider's fault: it was killed, by us.
            raise RunStopped(run.run_id) from error
        raise
    finally:
        kill()

"""Make a run's source ready: fetch, check, normalise, set up in a sandbox where asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glovebox.domain import keys
from glovebox.domain.errors import GloveboxError, SandboxLost, SourceError
from glovebox.domain.manifest import Manifest
from glovebox.domain.outcome import RunState
from glovebox.domain.run import Run
from glovebox.frameworks.contract import FOLDER, Command
from glovebox.ports import (
    Artifacts,
    Clock,
    NewToken,
    Runs,
    Sandbox,
    Sandboxes,
    SandboxRequest,
)
from glovebox.usecases.process import HOME_FOLDER, Process, run_process
from glovebox.usecases.rounds import read_manifest
from glovebox.usecases.sandbox_scope import fresh_sandbox
from glovebox.usecases.source import MAX_ARCHIVE_BYTES, normalise_source

SETUP_SECONDS = 600
"""Longest set-up: the planner's own 900 s less room for the source and the snapshot."""
SNAPSHOT_SECONDS = 120
ARCHIVE_TYPE = "application/gzip"
_SNAPSHOT = "/workspace/prepared.tar.gz"
_LOG_CHARACTERS = 4000


class SetupFailed(GloveboxError):
    """A line of the manifest's `image.setup` failed; the user must act."""


@dataclass
class PrepareRun:
    """Leaves the prepared source in the data bucket."""

    sandboxes: Sandboxes
    runs: Runs
    artifacts: Artifacts
    clock: Clock
    new_token: NewToken

    def __call__(self, run_id: str) -> None:
        """Prepare the run. Repeating it does the same again.

        Raises SourceError or SetupFailed where the user must act, RunStopped where the run was
        stopped meanwhile, SandboxError otherwise.
        """
        run = self.runs.run(run_id)
        manifest = read_manifest(self.artifacts, run_id)
        started_at = run.started_at if run.started_at is not None else self.clock.now()
        run = self.runs.update_run(
            run_id,
            state=RunState.PREPARING,
            started_at=started_at,
            deadline_at=started_at + manifest.timeout,
        )
        prepared = normalise_source(self._fetch(run_id, manifest))
        if manifest.image.setup:
            prepared = self._set_up(run, manifest, prepared)
        self.artifacts.put(keys.prepared_key(run_id), prepared, ARCHIVE_TYPE)

    def _fetch(self, run_id: str, manifest: Manifest) -> bytes:
        source = manifest.source
        if source.inline is not None:
            return self.artifacts.get(keys.inline_source_key(run_id), limit=MAX_ARCHIVE_BYTES)
        if source.s3 is not None:
            return self.artifacts.get_uri(source.s3, limit=MAX_ARCHIVE_BYTES)
        raise SourceError("the manifest names no source that this service can fetch")

    def _set_up(self, run: Run, manifest: Manifest, prepared: bytes) -> bytes:
        request = SandboxRequest(
            image=manifest.image.base,
            network=manifest.image.setup_network,
            ttl_seconds=SETUP_SECONDS + SNAPSHOT_SECONDS + 60,
        )
        with fresh_sandbox(self.sandboxes, request, self.runs, self.clock, run) as sandbox:
            self._run_setup(sandbox, manifest, prepared)
            return self._snapshot(sandbox)

    def _run_setup(self, sandbox: Sandbox, manifest: Manifest, prepared: bytes) -> None:
        # Lines of shell by definition: the manifest's author writes a script here.
        script = "set -e\n" + "\n".join(manifest.image.setup) + "\n"
        command = Command(
            argv=("bash", "-v", f"{FOLDER}/setup.sh"), files={"setup.sh": script.encode()}
        )
        nonce = self.new_token()
        env = setup_env(manifest.env)
        process = Process("setup", command, nonce, SETUP_SECONDS, env, prepared)
        evidence = run_process(sandbox, process, self.clock)
        if evidence.nonce != nonce:
            raise SandboxLost("the set-up's answer does not carry its nonce")
        if evidence.timed_out or evidence.exit_code != 0:
            log = evidence.log.decode(errors="replace")[-_LOG_CHARACTERS:]
            ending = "took too long" if evidence.timed_out else f"exit code {evidence.exit_code}"
            raise SetupFailed(f"image.setup failed ({ending}):\n{log}")

    def _snapshot(self, sandbox: Sandbox) -> bytes:
        argv = ("tar", "-C", "/workspace", "-czf", _SNAPSHOT, "src", "home")
        nonce = self.new_token()
        process = Process("snapshot", Command(argv), nonce, SNAPSHOT_SECONDS, setup_env({}))
        evidence = run_process(sandbox, process, self.clock)
        if evidence.nonce != nonce or evidence.exit_code != 0:
            raise SandboxLost(f"the set-up could not be packed: {evidence.log[:500]!r}")
        return sandbox.download(_SNAPSHOT, limit=MAX_ARCHIVE_BYTES)


def setup_env(env: Mapping[str, str]) -> dict[str, str]:
    """What a process sees that prepares or discovers: the manifest's environment, no attempt."""
    home = {"HOME": HOME_FOLDER, "TMPDIR": "/tmp", "CI": "true"}  # noqa: S108 - the sandbox's
    return {**home, **env, "GLOVEBOX": "1"}

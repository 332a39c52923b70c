"""Starts programs in a sandbox with the environment that commands have, and says why one cannot."""

from __future__ import annotations

import asyncio
import errno
from functools import partial

from glovebox_local.sandbox import process_table, recipe, wire
from glovebox_local.sandbox.background import BackgroundProcess
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.keeper_link import NotStartedError, SpawnError
from glovebox_local.sandbox.languages import Program
from glovebox_local.sandbox.processes import Process, exit_code
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.settings import SandboxSettings

# A sandbox remembers up to 256 of them, each with two streams.
_BACKGROUND_BYTES = 128 * 1024
_SHOWN_CHARACTERS = 1000


class Programs:
    """Every method raises ``ApiError``: 400 for a program or directory that is not there, 409 if
    the sandbox may have no further process, 410 if it has ended, 413 for more arguments than a
    process may have."""

    def __init__(self, settings: SandboxSettings, null_fd: int) -> None:
        self._settings = settings
        self._null_fd = null_fd
        self._clearing: set[asyncio.Task[None]] = set()

    async def start(
        self,
        sandbox: Sandbox,
        argv: list[str],
        directory: str,
        env: dict[str, str],
        *,
        input_fd: int | None = None,
        output_bytes: int | None = None,
    ) -> Process:
        """Start a program; its output is kept, ``output_bytes`` of each stream.

        ``input_fd`` is its input (the caller closes it), nothing without it.
        """
        kept = self._settings.output_bytes if output_bytes is None else output_bytes
        process = Process(sandbox.keeper, kept, self._settings.drain_seconds)
        process.counts_before = sandbox.limits.mark()
        environment = recipe.ENVIRONMENT | sandbox.env | env
        descriptor = self._null_fd if input_fd is None else input_fd
        try:
            await process.start(argv, environment, directory, descriptor)
        except (SpawnError, wire.TooLarge) as error:
            raise _refusal(error, sandbox, argv[0], directory) from error
        return process

    async def attach(
        self, sandbox: Sandbox, argv: list[str], directory: str, env: dict[str, str], terminal: int
    ) -> Process:
        """Start a program on a terminal, which becomes the one that controls it."""
        process = Process(sandbox.keeper, 0, self._settings.drain_seconds)
        environment = recipe.ENVIRONMENT | sandbox.env | env
        try:
            await process.launch(argv, environment, directory, (terminal, terminal, terminal))
        except (SpawnError, wire.TooLarge) as error:
            raise _refusal(error, sandbox, argv[0], directory) from error
        return process

    async def run(
        self,
        sandbox: Sandbox,
        argv: list[str],
        directory: str,
        env: dict[str, str],
        limit: float,
        *,
        input_fd: int | None = None,
    ) -> tuple[Process, int]:
        """Run a program to its end; returns it and its exit code.

        Also raises ``ApiError`` 408 when it was killed at its time limit.
        """
        process = await self.start(sandbox, argv, directory, env, input_fd=input_fd)
        status = await process.wait(limit)
        sandbox.linger(process)
        if status != 0:
            code = exit_code(status) if status is not None else -1
            process.limits_hit = sandbox.limits.hit_since(process.counts_before, code)
        if process.timed_out:
            raise timeout(limit, process)
        if status is None:
            raise gone(sandbox)
        return process, exit_code(status)

    async def start_background(
        self,
        sandbox: Sandbox,
        program: Program,
        *,
        directory: str,
        env: dict[str, str],
        limit: float | None,
        kind: str,
        name: str,
    ) -> BackgroundProcess:
        """Start a program that nobody waits for, and remember it; killed at ``limit`` seconds."""
        with program.input() as input_fd:
            process = await self.start(
                sandbox,
                program.argv,
                directory,
                env,
                input_fd=input_fd,
                output_bytes=min(self._settings.output_bytes, _BACKGROUND_BYTES),
            )
        record = BackgroundProcess(
            process,
            kind=kind,
            name=name,
            language=program.language,
            command=program.shown[:_SHOWN_CHARACTERS],
            session=process_table.inner_pid(process.host_pid),
        )
        sandbox.remember(record.id, record)
        if limit is not None:
            process.kill_after(limit)
            process.on_end(partial(self._clear, sandbox, record))
        return record

    def _clear(self, sandbox: Sandbox, record: BackgroundProcess) -> None:
        """What it started ends with a program that was killed at its time."""
        if record.process.timed_out:
            task = asyncio.create_task(process_table.end_session(sandbox.files, record.session))
            self._clearing.add(task)
            task.add_done_callback(self._clearing.discard)


def timeout(limit: float, process: Process) -> ApiError:
    """The refusal of what took longer than it may, with what it had printed."""
    return ApiError(
        408,
        "EXECUTION_TIMEOUT",
        f"the command was killed after {limit:g} seconds",
        timeout_seconds=limit,
        reason="timeout",
        limits_hit=process.limits_hit,
        stdout=process.stdout.kept.text(),
        stderr=process.stderr.kept.text(),
    )


def gone(sandbox: Sandbox) -> ApiError:
    """The answer to a command whose sandbox ended. Not a 5xx: the SDK would send it again."""
    message = "the sandbox ended before the command did"
    return ApiError(410, "SANDBOX_GONE", message, reason=sandbox.end_reason)


def _refusal(
    error: SpawnError | wire.TooLarge, sandbox: Sandbox, program: str, directory: str
) -> ApiError:
    if isinstance(error, NotStartedError):
        return _not_started(error, program, directory)
    if isinstance(error, wire.TooLarge):
        message = f"command and environment exceed {wire.MAX_PACKET_BYTES} bytes"
        return ApiError(413, "COMMAND_TOO_LONG", message)
    return gone(sandbox)


def _not_started(error: NotStartedError, program: str, directory: str) -> ApiError:
    if error.step == "chdir":
        message = f"the working directory {directory} cannot be entered: {error}"
        return ApiError(400, "INVALID_PATH", message, path=directory)
    if error.step == "exec" and error.number in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
        return ApiError(400, "COMMAND_FAILED", f"{program} cannot be run: {error}")
    if error.number == errno.EAGAIN:
        message = "the sandbox has as many processes as it may"
        return ApiError(409, "PROCESS_LIMIT", message, reason="pids")
    return ApiError(409, "COMMAND_FAILED", f"the command could not be started: {error}")

"""A sandbox's Python session, from the server's side: one interpreter whose state stays.

What comes back from it is no more to be trusted than anything else in a sandbox: the code that
runs there may write to its channel, close it, end the interpreter or never come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glovebox_local.sandbox import process_table, recipe
from glovebox_local.sandbox.files import SandboxFiles
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.output import HeadAndTail
from glovebox_local.sandbox.processes import Process, exit_code

if TYPE_CHECKING:
    from glovebox_local.sandbox.programs import Programs
    from glovebox_local.sandbox.sandboxes import Sandbox

_MAX_REPLY_BYTES = 4 * 1024 * 1024
_MAX_WAITING = 32
_LAST_WORDS_SECONDS = 0.2
_RICH = ("html", "markdown", "svg", "png", "result")
_RICH_OBJECTS = ("json", "dataframe")
# Its program arrives on the channel: an argument list shows in ps. The text says only how much.
_BOOT = (
    "import os\nb=b''\nwhile len(b)<{size}: b+=os.read(0,{size}-len(b))\n"
    "exec(compile(b,'<session>','exec'),{{'__name__':'__main__'}})"
)
_VARIABLES = {"MPLBACKEND": "Agg"}
_FRAMES = Callable[[Process], "contextlib.AbstractAsyncContextManager[None]"]


class SessionEnded(Exception):
    """The interpreter ended before it answered; its wait status, -1 if the sandbox ended."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class Outcome:
    """How a cell ended, what it printed, and what it showed."""

    exit_code: int
    stdout: HeadAndTail
    stderr: HeadAndTail
    rich: dict[str, Any]
    seconds: float
    session_ended: bool = False


@dataclass(slots=True)
class Cell:
    """Code to run in a session; without ``directory`` it runs where the one before it left off."""

    code: str
    directory: str | None
    env: dict[str, str]


class PythonSession:
    """One interpreter in a sandbox."""

    def __init__(self, process: Process, channel: socket.socket, env: dict[str, str]) -> None:
        """``env`` is what the sandbox's own variables were when it started."""
        self.id = f"py_{secrets.token_hex(6)}"
        self.process = process
        self.started_at = datetime.now(UTC)
        self.last_activity = self.started_at
        self.busy = False
        self._number = process_table.inner_pid(process.host_pid)
        self._channel = channel
        self._env = dict(env)
        process.on_end(self._on_end)

    @classmethod
    async def open(cls, programs: Programs, sandbox: Sandbox) -> PythonSession:
        """Start one. Raises ``ApiError`` as ``Programs`` does."""
        source = Path(__file__).with_name("session_program.py").read_bytes()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        argv = ["python", "-c", _BOOT.format(size=len(source))]
        env = dict(sandbox.env)
        try:
            ours.sendall(source)  # a few KiB into an empty socket: it never waits
            process = await programs.start(
                sandbox, argv, recipe.HOME, _VARIABLES | env, input_fd=theirs.fileno()
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours, env)

    @property
    def alive(self) -> bool:
        """Whether it can take another cell, as far as is known."""
        return self.process.running

    def kill(self) -> None:
        """End it and its process group."""
        self.process.kill()

    async def clear(self, files: SandboxFiles) -> None:
        """End it and all that it started."""
        self.kill()
        await process_table.end_session(files, self._number)
        self.close()

    async def run(self, cell: Cell, env: dict[str, str]) -> dict[str, Any]:
        """Run a cell; ``env`` is what the sandbox's own variables are now. Its raw answer.

        Raises ``SessionEnded``. Whoever cancels this must ``kill`` the session.
        """
        number = secrets.token_hex(8)
        request = {
            "id": number,
            "code": cell.code,
            "directory": cell.directory,
            "set": {key: value for key, value in env.items() if self._env.get(key) != value},
            "unset": [key for key in self._env if key not in env],
            "env": cell.env,
        }
        self._env = dict(env)
        answer = asyncio.create_task(self._ask(number, json.dumps(request).encode()))
        ended = asyncio.create_task(self.process.outcome())
        try:
            await asyncio.wait((answer, ended), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                await asyncio.wait((answer,), timeout=_LAST_WORDS_SECONDS)
            if answer.done() and answer.exception() is None:
                return answer.result()
            # A channel that is broken or talks nonsense is as good as an interpreter that ended.
            self.kill()
            raise SessionEnded(await ended)
        finally:
            for task in (answer, ended):
                task.cancel()
            await asyncio.gather(answer, ended, return_exceptions=True)
            self.last_activity = datetime.now(UTC)

    async def _ask(self, number: str, request: bytes) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._channel, len(request).to_bytes(4, "big") + request)
        size = int.from_bytes(await self._exactly(4), "big")
        if size > _MAX_REPLY_BYTES:
            raise ConnectionError
        answer = json.loads(await self._exactly(size), parse_constant=_refuse_constant)
        # One request, one answer: another number is the code's own doing.
        if not isinstance(answer, dict) or answer.get("id") != number:
            raise ConnectionError
        return answer

    async def _exactly(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < size:
            piece = await loop.sock_recv(self._channel, min(size - len(data), 1 << 18))
            if not piece:
                raise ConnectionError
            data += piece
        return bytes(data)

    def _on_end(self) -> None:
        if not self.busy:
            self.close()

    def close(self) -> None:
        """Let go of its channel and streams."""
        self._channel.close()
        self.process.release()


@dataclass(slots=True)
class SessionSlot:
    """A sandbox's place for its session: one cell at a time runs in it."""

    current: PythonSession | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class PythonSessions:
    """Runs cells in the sandboxes' sessions, and replaces a session that ended."""

    def __init__(self, programs: Programs, output_bytes: int) -> None:
        self._programs = programs
        self._output_bytes = output_bytes

    async def run(
        self, sandbox: Sandbox, cell: Cell, limit: float, following: _FRAMES | None = None
    ) -> Outcome:
        """Run a cell, after those that came before it.

        ``following`` takes what the cell prints while it runs. Raises ``ApiError``: 400 for a
        directory that is not there, 408 at the limit (the session is then a fresh one), 409 if too
        many wait, 410 if the sandbox has ended.
        """
        slot = sandbox.python
        deadline = time.monotonic() + limit
        if slot.waiting >= _MAX_WAITING:
            raise ApiError(409, "SESSION_BUSY", f"{_MAX_WAITING} executions wait already")
        slot.waiting += 1
        try:
            async with asyncio.timeout(limit):
                await slot.turn.acquire()
        except TimeoutError as error:
            message = f"the session was busy with earlier code for {limit:g} seconds"
            raise ApiError(408, "EXECUTION_TIMEOUT", message, timeout_seconds=limit) from error
        finally:
            slot.waiting -= 1
        try:
            return await self._run(sandbox, cell, deadline, limit, following)
        finally:
            slot.turn.release()

    async def _run(
        self,
        sandbox: Sandbox,
        cell: Cell,
        deadline: float,
        limit: float,
        following: _FRAMES | None,
    ) -> Outcome:
        session = sandbox.python.current
        if session is None or not session.alive:
            session = await PythonSession.open(self._programs, sandbox)
            sandbox.python.current = session
        process = session.process
        session.busy = True
        began = time.monotonic()
        # What threads of earlier cells printed since is nobody's.
        process.stdout.empty()
        process.stderr.empty()
        process.stdout.kept = HeadAndTail(self._output_bytes)
        process.stderr.kept = HeadAndTail(self._output_bytes)
        answer: dict[str, Any] | None = None
        try:
            async with following(process) if following else contextlib.nullcontext():
                async with asyncio.timeout(max(deadline - began, 0.001)):
                    answer = await session.run(cell, sandbox.env)
            # All that was printed before the answer is in the pipes by now.
            process.stdout.empty()
            process.stderr.empty()
        except SessionEnded as end:
            return _lost(session, end.status, time.monotonic() - began)
        except TimeoutError as error:
            raise _too_long(process, limit) from error
        finally:
            session.busy = False
            if answer is None:  # ended, late, or given up by who asked: half a cell is no state
                sandbox.python.current = None
                await session.clear(sandbox.files)
        return _outcome(cell, process, answer, time.monotonic() - began)


def _refuse_constant(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)


def _outcome(cell: Cell, process: Process, answer: dict[str, Any], seconds: float) -> Outcome:
    if "refused" in answer:
        message = f"the working directory {cell.directory} cannot be entered: {answer['refused']}"
        raise ApiError(400, "INVALID_PATH", message, path=cell.directory)
    rich: dict[str, Any] = {
        key: answer[key] for key in _RICH if isinstance(answer.get(key), str)
    } | {key: answer[key] for key in _RICH_OBJECTS if isinstance(answer.get(key), dict)}
    code = answer.get("exit_code")
    if not isinstance(code, int) or not 0 <= code <= 255:
        code = 1
    if answer.get("left_out"):
        process.stderr.kept.add(b"[rich output was too large and is left out]\n")
    return Outcome(
        int(code),
        process.stdout.kept,
        process.stderr.kept,
        rich,
        seconds,
    )


def _lost(session: PythonSession, status: int, seconds: float) -> Outcome:
    """The outcome of a cell that ended its interpreter: never a success."""
    if status < 0:
        raise ApiError(410, "SANDBOX_GONE", "the sandbox ended before the code did")
    process = session.process
    process.stdout.empty()
    process.stderr.empty()
    code = exit_code(status)
    how = f"exit code {code}"
    if code > 128 and code - 128 in set(signal.Signals):
        how = f"signal {signal.Signals(code - 128).name}"
    text = f"[the Python session ended ({how}): its state is lost, the next call has a new one]\n"
    process.stderr.kept.add(text.encode())
    return Outcome(
        code or 1, process.stdout.kept, process.stderr.kept, {}, seconds, session_ended=True
    )


def _too_long(process: Process, limit: float) -> ApiError:
    process.stdout.empty()
    process.stderr.empty()
    return ApiError(
        408,
        "EXECUTION_TIMEOUT",
        f"the code was killed after {limit:g} seconds, and the session's state with it",
        timeout_seconds=limit,
        stdout=process.stdout.kept.text(),
        stderr=process.stderr.kept.text(),
    )

"""The Python sessions of sandboxes: cells run in turn, and a session that ended is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.output import HeadAndTail
from glovebox_local.sandbox.processes import Process, exit_code
from glovebox_local.sandbox.python_session import Cell, PythonSession, SessionEnded

if TYPE_CHECKING:
    from glovebox_local.sandbox.programs import Programs
    from glovebox_local.sandbox.sandboxes import Sandbox

_MAX_WAITING = 32
_RICH = ("html", "markdown", "svg", "png", "result")
_RICH_OBJECTS = ("json", "dataframe")
# The answer is written a little deeper in the program than this is tried.
_SPARE_LEVELS = 100
_Following = Callable[[Process], contextlib.AbstractAsyncContextManager[None]]


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
        self, sandbox: Sandbox, cell: Cell, limit: float, following: _Following | None = None
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
        following: _Following | None,
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


def _can_be_sent(value: Any) -> bool:
    """Whether it is an object, and not nested so deep that it could be read but not written."""
    if not isinstance(value, dict):
        return False
    for _ in range(_SPARE_LEVELS):
        value = [value]
    try:
        json.dumps(value)
    except RecursionError:
        return False
    return True


def _outcome(cell: Cell, process: Process, answer: dict[str, Any], seconds: float) -> Outcome:
    if "refused" in answer:
        message = f"the working directory {cell.directory} cannot be entered: {answer['refused']}"
        raise ApiError(400, "INVALID_PATH", message, path=cell.directory)
    rich: dict[str, Any] = {
        key: answer[key] for key in _RICH if isinstance(answer.get(key), str)
    } | {key: answer[key] for key in _RICH_OBJECTS if _can_be_sent(answer.get(key))}
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

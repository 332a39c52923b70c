"""The agent's streams: code and commands whose output arrives while they run.

``/execute/stream`` and ``/commands/stream`` start a process each time; ``/stream`` and
``/stream/ipython`` run Python in the sandbox's session. A connection may run one thing after
another; what runs when the client goes is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from glovebox_local.sandbox import checks, process_table, recipe
from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError, Request
from glovebox_local.sandbox.languages import Program, code_of, explained, language_of, program_for
from glovebox_local.sandbox.processes import Process, exit_code
from glovebox_local.sandbox.programs import Programs, gone
from glovebox_local.sandbox.python_session import Cell
from glovebox_local.sandbox.relay import relayed
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.sessions import PythonSessions
from glovebox_local.sandbox.sockets import Socket, SocketClosed

logger = logging.getLogger(__name__)

SocketHandler = Callable[[Request, Socket, Sandbox], Awaitable[None]]
_Run = Callable[[Socket, Sandbox, dict[str, Any]], Awaitable[dict[str, Any]]]

_DEFAULT_SECONDS = 120.0
_STOPS = ("kill", "stop", "cancel", "interrupt")
_MAX_RESULT_CHARACTERS = 900_000
_KILLED = 137


class StreamRoutes:
    """The four streams."""

    def __init__(self, programs: Programs, sessions: PythonSessions) -> None:
        self._programs = programs
        self._sessions = sessions
        self.routes: dict[str, SocketHandler] = {
            "/execute/stream": self._serve(self._run_code),
            "/commands/stream": self._serve(self._run_command),
            "/stream": self._serve(self._run_in_session),
            "/stream/ipython": self._serve(self._run_in_session),
        }

    def _serve(self, run: _Run) -> SocketHandler:
        async def serve(_: Request, socket: Socket, sandbox: Sandbox) -> None:
            await _Conversation(run, socket, sandbox).hold()

        return serve

    async def _run_code(
        self, socket: Socket, sandbox: Sandbox, message: dict[str, Any]
    ) -> dict[str, Any]:
        language = language_of(message)
        try:
            return await self._run(
                socket, sandbox, program_for(language, code_of(message)), message
            )
        except ApiError as error:
            raise explained(error, language) from error

    async def _run_command(
        self, socket: Socket, sandbox: Sandbox, message: dict[str, Any]
    ) -> dict[str, Any]:
        argv = checks.arguments(message)
        if message.get("args") is None:  # a line, as people type it
            argv = ["bash", "-c", *argv]
        return await self._run(socket, sandbox, Program(argv, "command", argv[0]), message)

    async def _run_in_session(
        self, socket: Socket, sandbox: Sandbox, message: dict[str, Any]
    ) -> dict[str, Any]:
        if language_of(message) != "python":
            return await self._run_code(socket, sandbox, message)
        said = message.get("workdir")
        directory = None if said is None else checks.text(message, "workdir")
        cell = Cell(code_of(message), directory, checks.variables(message, "env"))
        limit = checks.seconds(message, "timeout", _DEFAULT_SECONDS)
        outcome = await self._sessions.run(
            sandbox, cell, limit, lambda process: relayed(socket, process)
        )
        # What the service itself has to say about an ended session came after the streams.
        if note := outcome.stderr.text():
            await socket.text("stderr", note)
        result = {"exit_code": outcome.exit_code, "execution_time": round(outcome.seconds, 6)}
        if len(json.dumps(outcome.rich)) > _MAX_RESULT_CHARACTERS:
            return result | {"left_out": True}
        return result | outcome.rich

    async def _run(
        self, socket: Socket, sandbox: Sandbox, program: Program, message: dict[str, Any]
    ) -> dict[str, Any]:
        limit = checks.seconds(message, "timeout", _DEFAULT_SECONDS)
        directory = checks.text(message, "workdir", recipe.HOME)
        env = checks.variables(message, "env")
        with program.input() as input_fd:
            process = await self._programs.start(
                sandbox, program.argv, directory, env, input_fd=input_fd
            )
        session = process_table.inner_pid(process.host_pid)
        try:
            async with relayed(socket, process):
                status = await process.wait(limit)
        finally:
            await _leave(sandbox, process, session)
        if process.timed_out:
            message_text = f"the command was killed after {limit:g} seconds"
            raise ApiError(408, "EXECUTION_TIMEOUT", message_text)
        if status is None:
            raise gone(sandbox)
        seconds = (process.ended or time.monotonic()) - process.started
        return {"exit_code": exit_code(status), "execution_time": round(seconds, 6)}


async def _leave(sandbox: Sandbox, process: Process, session: int | None) -> None:
    """Leave nothing running that the client did not see to its end."""
    if not process.running and not process.timed_out:
        sandbox.linger(process)
        return
    process.kill()
    await process_table.end_session(sandbox.files, session)
    process.release()


class _Conversation:
    """One connection: what it asks for runs one after the other, and ends with it."""

    def __init__(self, run: _Run, socket: Socket, sandbox: Sandbox) -> None:
        self._run = run
        self._socket = socket
        self._sandbox = sandbox
        self._busy = False
        self._running: asyncio.Task[None] | None = None

    async def hold(self) -> None:
        """Listen all the time, so that a client that goes is noticed at once."""
        try:
            while True:
                message = await self._socket.receive()
                if not self._busy:
                    self._busy = True
                    self._running = asyncio.create_task(self._answer(message))
                elif message.get("type") in _STOPS:
                    await self._end_it()
                    await self._socket.fail("EXECUTION_CANCELLED", "it was killed as you asked")
                    await self._complete(success=False)
                else:
                    await self._socket.fail("BUSY", "one thing at a time: what runs is not over")
        finally:
            await self._end_it()

    async def _end_it(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))

    async def _answer(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(SocketClosed):  # the listener hears it too
            await self._answer_all(message)

    async def _answer_all(self, message: dict[str, Any]) -> None:
        """Run what a message asks for; whatever comes of it, the last word is ``complete``."""
        result: dict[str, Any] = {}
        try:
            result = await self._run(self._socket, self._sandbox, message)
        except ApiError as error:
            await self._socket.fail(error.code, error.message)
            if error.code == "EXECUTION_TIMEOUT":
                result = {"exit_code": _KILLED}
        except SocketClosed:
            raise
        except Exception:
            logger.exception("a stream failed")
            await self._socket.fail("INTERNAL_ERROR", "the service failed")
        if result:
            await self._socket.send("result", **result, timestamp=now())
        await self._complete(success=result.get("exit_code") == 0)

    async def _complete(self, *, success: bool) -> None:
        # Before it is said: the client may ask for the next thing as soon as it hears it.
        self._busy = False
        await self._socket.send("complete", success=success, timestamp=now())

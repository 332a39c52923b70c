"""The agent's streams: code and commands whose output arrives while they run.

``/execute/stream`` and ``/commands/stream`` start a process each time; ``/stream`` and
``/stream/ipython`` run Python in the sandbox's session. A connection may run one thing after
another; what runs when the client goes is killed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from glovebox_local.sandbox import checks, process_table, recipe
from glovebox_local.sandbox.agent_processes import kill_session
from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError, Request
from glovebox_local.sandbox.languages import Program, code_of, explained, language_of, program_for
from glovebox_local.sandbox.processes import Process, exit_code
from glovebox_local.sandbox.programs import Programs, gone
from glovebox_local.sandbox.relay import relayed
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.sessions import Cell, PythonSessions
from glovebox_local.sandbox.sockets import Socket, first

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
            while True:
                message = await socket.receive()
                running = asyncio.create_task(_answer(run, socket, sandbox, message))
                await first(running, asyncio.create_task(_heed(socket, running)))

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
            raise gone()
        seconds = (process.ended or time.monotonic()) - process.started
        return {"exit_code": exit_code(status), "execution_time": round(seconds, 6)}


async def _leave(sandbox: Sandbox, process: Process, session: int | None) -> None:
    """Leave nothing running that the client did not see to its end."""
    if not process.running:
        sandbox.linger(process)
        return
    process.kill()
    if session is not None:
        await kill_session(sandbox, session)
    process.release()


async def _answer(run: _Run, socket: Socket, sandbox: Sandbox, message: dict[str, Any]) -> None:
    """Run what a message asks for; whatever comes of it, the last word is ``complete``."""
    try:
        result = await run(socket, sandbox, message)
    except ApiError as error:
        await socket.fail(error.code, error.message)
        result = {"exit_code": _KILLED} if error.code == "EXECUTION_TIMEOUT" else {}
    if result:
        await socket.send("result", **result, timestamp=now())
    await socket.send("complete", success=result.get("exit_code") == 0, timestamp=now())


async def _heed(socket: Socket, running: asyncio.Task[None]) -> None:
    """Listen while something runs: to notice that the client goes, or wants it to end."""
    while True:
        message = await socket.receive()
        if message.get("type") in _STOPS:
            running.cancel()
            await asyncio.wait((running,))
            await socket.fail("EXECUTION_CANCELLED", "it was killed as you asked")
            await socket.send("complete", success=False, timestamp=now())
            return
        await socket.fail("BUSY", "one thing at a time: what runs is not over yet")

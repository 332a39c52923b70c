"""The agent's ``/terminal``: a shell on a terminal, for as long as its client is there."""

from __future__ import annotations

import asyncio
import os

from glovebox_local.sandbox import process_table, recipe
from glovebox_local.sandbox.http import Request
from glovebox_local.sandbox.processes import Process, Stream, exit_code
from glovebox_local.sandbox.programs import Programs
from glovebox_local.sandbox.relay import Relay
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.sockets import Socket, first
from glovebox_local.sandbox.terminals import Keyboard, open_terminal

_COLUMNS, _ROWS = 80, 24
_SHELL = ["bash"]
_VARIABLES = {"TERM": "xterm-256color", "SHELL": "/bin/bash"}


class TerminalRoutes:
    """``/terminal``."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self.routes = {"/terminal": self._serve}

    async def _serve(self, request: Request, socket: Socket, sandbox: Sandbox) -> None:
        """``cols`` and ``rows`` of the query are the first size."""
        ours, theirs = open_terminal(sandbox.files)
        keyboard = Keyboard(ours)
        keyboard.resize(_number(request, "cols", _COLUMNS), _number(request, "rows", _ROWS))
        screen = Stream(ours, 0, asyncio.get_running_loop())
        relay = Relay(socket, {"output": screen})
        process: Process | None = None
        session: int | None = None
        try:
            try:
                process = await self._programs.attach(
                    sandbox, _SHELL, recipe.HOME, _VARIABLES, theirs
                )
            finally:
                os.close(theirs)
            session = process_table.inner_pid(process.host_pid)
            await first(
                asyncio.create_task(_listen(socket, keyboard)),
                asyncio.create_task(_show(socket, relay, process)),
            )
        finally:
            # All that the shell started and nobody detached ends with the terminal.
            keyboard.close()
            screen.close()
            if process is not None:
                process.kill()
            await process_table.end_session(sandbox.files, session)


async def _listen(socket: Socket, keyboard: Keyboard) -> None:
    while True:
        message = await socket.receive()
        match message:
            case {"type": "input", "data": str(data)}:
                if not keyboard.type(data):
                    await socket.fail("INPUT_NOT_READ", "the program does not read its input")
            case {"type": "resize", "cols": int(columns), "rows": int(rows)}:
                keyboard.resize(columns, rows)
            case _:
                await socket.fail("INVALID_REQUEST", "a message is of type input or resize")


async def _show(socket: Socket, relay: Relay, process: Process) -> None:
    carrying = asyncio.create_task(relay.run())
    try:
        status = await process.outcome()
        relay.finish()
        await carrying
        # A shell whose sandbox ended has no exit code; none that could pass for success.
        await socket.send("exit", code=exit_code(status) if status >= 0 else -1)
    finally:
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)


def _number(request: Request, name: str, default: int) -> int:
    value = request.query(name, str(default))
    return int(value) if value.isdecimal() and len(value) < 6 else default

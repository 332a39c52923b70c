"""One Python interpreter in a sandbox, from the server's side: its channel, its two streams.

What comes back from it is no more to be trusted than anything else in a sandbox: the code that
runs there may write to its channel, close it, end the interpreter or never come back.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glovebox_local.sandbox import process_table, recipe
from glovebox_local.sandbox.files import SandboxFiles
from glovebox_local.sandbox.processes import Process

if TYPE_CHECKING:
    from glovebox_local.sandbox.programs import Programs
    from glovebox_local.sandbox.sandboxes import Sandbox

_MAX_REPLY_BYTES = 4 * 1024 * 1024
_LAST_WORDS_SECONDS = 0.2
# Its program arrives on the channel: an argument list shows in ps. The text says only how much.
_BOOT = (
    "import os\nb=b''\nwhile len(b)<{size}: b+=os.read(0,{size}-len(b))\n"
    "exec(compile(b,'<session>','exec'),{{'__name__':'__main__'}})"
)
_VARIABLES = {"MPLBACKEND": "Agg"}


class SessionEnded(Exception):
    """The interpreter ended before it answered; its wait status, -1 if the sandbox ended."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


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


def _refuse_constant(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)

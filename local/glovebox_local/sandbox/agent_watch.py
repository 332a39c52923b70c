"""The agent's ``/files/watch``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from glovebox_local.sandbox import checks, recipe
from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError, Request
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.sockets import Socket, first
from glovebox_local.sandbox.watching import Change, Watch

_Send = Callable[..., Awaitable[None]]
_FEW = 8
# Of all sandboxes together: the kernel counts them by user, and that is the host's root.
_MAX_WATCHES = 64


class WatchRoutes:
    """``/files/watch``: one folder a connection."""

    def __init__(self) -> None:
        self._watches = 0
        self.routes = {"/files/watch": self._serve}

    async def _serve(self, _: Request, socket: Socket, sandbox: Sandbox) -> None:
        while True:
            message = await socket.receive()
            try:
                path = checks.text(message, "path", recipe.HOME)
                if message.get("action") != "watch":
                    raise checks.invalid("the action must be watch")
                if self._watches >= _MAX_WATCHES:
                    raise ApiError(409, "TOO_MANY_WATCHES", f"{_MAX_WATCHES} are open already")
                watch = _open(sandbox, path)
                break
            except ApiError as error:
                await socket.fail(error.code, error.message)
        self._watches += 1
        try:
            # Only for who asks: the SDK hands every message to its caller as a change.
            if message.get("ack") is True:
                await socket.send("watching", path=path, timestamp=now())
            await first(
                asyncio.create_task(_listen(socket)),
                asyncio.create_task(_report(socket, watch, sandbox.files.absolute(path))),
            )
        finally:
            self._watches -= 1
            watch.close()


def _open(sandbox: Sandbox, path: str) -> Watch:
    target = sandbox.files.open_folder(path)
    try:
        return Watch(target)
    except OSError as error:
        message = f"the path cannot be watched: {error.strerror}"
        raise ApiError(409, "WATCH_FAILED", message, path=path) from error
    finally:
        os.close(target)


async def _listen(socket: Socket) -> None:
    while True:
        await socket.receive()
        await socket.fail("INVALID_REQUEST", "a connection watches one path")


async def _report(socket: Socket, watch: Watch, path: str) -> None:
    more = True
    while more:
        changes, more = await watch.changes()
        send = socket.send if len(changes) <= _FEW else socket.send_now
        for change in changes:
            await _tell(socket, send, change, path)


async def _tell(socket: Socket, send: _Send, change: Change, path: str) -> None:
    if change.kind == "overflow":
        await socket.fail("EVENTS_LOST", "there were more changes than the kernel remembers")
        return
    values = {"path": f"{path}/{change.name}" if change.name else path, "event": change.kind}
    if change.new_name is not None:
        values["new_path"] = f"{path}/{change.new_name}"
    await send("change", **values, timestamp=now())

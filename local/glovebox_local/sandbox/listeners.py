"""One address per sandbox: the SDK's WebSocket client drops the path of an agent's URL.

All addresses share one ASGI application and one protocol configuration, so that a sandbox costs a
listening socket and not a server; the port says whose request it is.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from glovebox_local.sandbox.sandboxes import Sandbox

_BACKLOG = 64


class Listener:
    """A listening socket and the connections that came by it."""

    __slots__ = ("port", "server", "state", "url")

    def __init__(self, server: asyncio.Server, state: ServerState, url: str, port: int) -> None:
        self.server = server
        self.state = state
        self.url = url
        self.port = port


class Listeners:
    """Opens addresses for one application, and remembers whose each is."""

    def __init__(self, config: Config, host: str) -> None:
        self._config = config
        self._host = host
        self._owners: dict[int, Sandbox] = {}

    async def open(self, port: int = 0) -> Listener:
        """Listen at a port, a free one for 0."""
        loop = asyncio.get_running_loop()
        state = ServerState()
        listening = socket.create_server((self._host, port), backlog=_BACKLOG)

        def protocol() -> asyncio.Protocol:
            return HttpToolsProtocol(self._config, state, {}, loop)

        server = await loop.create_server(protocol, sock=listening, backlog=_BACKLOG)
        bound: int = listening.getsockname()[1]
        return Listener(server, state, f"http://{self._host}:{bound}", bound)

    def assign(self, listener: Listener, sandbox: Sandbox) -> None:
        """From now on, requests to this address are for this sandbox."""
        self._owners[listener.port] = sandbox

    def owner(self, port: int) -> Sandbox | None:
        """The sandbox whose agent answers at a port."""
        return self._owners.get(port)

    def close(self, listener: Listener) -> None:
        """Stop listening; connections close as soon as what they wait for is answered."""
        self._owners.pop(listener.port, None)
        listener.server.close()
        for connection in list(listener.state.connections):
            connection.shutdown()

"""uvicorn's WebSockets, with one thing mended; loaded with the first handshake."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class SocketProtocol(WebSocketsSansIOProtocol):
    """A handshake that was answered with an error is over, and nothing to complain of."""

    async def send(self, message: Any) -> None:
        """As the base does."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

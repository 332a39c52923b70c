"""WebSockets of the agent: one JSON object a message, bounded both ways.

The protocol's code is loaded with the first handshake: most services never see one.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import Receive, Reply, Send

MAX_MESSAGE_BYTES = 1024 * 1024
"""The largest message taken; the vendor's clients take no larger one either."""

# The vendor's JavaScript client listens for one message at a time and misses those that arrive
# together, the last word among them, for which it then waits for ever. Small messages are therefore
# kept apart; what a program prints meanwhile goes in one.
_APART_SECONDS = 0.004

PIECE_CHARACTERS = 32 * 1024
"""Text in one message of ours: JSON may write twelve bytes for a character."""


def protocol(**given: Any) -> asyncio.Protocol:
    """The protocol that takes over a connection which asks to be a WebSocket."""
    from glovebox_local.sandbox.socket_protocol import SocketProtocol

    return SocketProtocol(**given)


class SocketClosed(Exception):
    """The client is gone, or said something that ends the conversation."""


class Socket:
    """One accepted connection. ``receive`` and ``send`` raise ``SocketClosed``."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._sent = 0.0

    async def accept(self) -> None:
        """Complete the handshake."""
        await self._receive()
        await self._put({"type": "websocket.accept"})

    async def receive(self) -> dict[str, Any]:
        """The client's next message; one that is no JSON object is answered and passed over."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                raise SocketClosed
            try:
                value = json.loads(message.get("text") or message.get("bytes") or b"")
            except (ValueError, RecursionError):
                value = None
            if isinstance(value, dict):
                return value
            await self.fail("INVALID_REQUEST", "a message must be one JSON object")

    async def send(self, kind: str, **values: Any) -> None:
        """One message; waits while the client is behind."""
        early = self._sent + _APART_SECONDS - time.monotonic()
        if early > 0:
            await asyncio.sleep(early)
        await self.send_now(kind, **values)

    async def send_now(self, kind: str, **values: Any) -> None:
        """One of many messages, which cannot each wait to stand alone."""
        await self._put({"type": "websocket.send", "text": json.dumps({"type": kind, **values})})
        self._sent = time.monotonic()

    async def text(self, kind: str, text: str) -> None:
        """Text of any length, in as many messages as it takes."""
        if len(text) <= PIECE_CHARACTERS:
            await self.send(kind, data=text, timestamp=now())
            return
        for start in range(0, len(text), PIECE_CHARACTERS):  # a flood: it cannot wait
            piece = text[start : start + PIECE_CHARACTERS]
            await self.send_now(kind, data=piece, timestamp=now())

    async def fail(self, code: str, text: str) -> None:
        """Say that something is wrong."""
        await self.send("error", code=code, error=text, message=text, timestamp=now())

    async def close(self) -> None:
        """End the conversation in good order."""
        await self._put({"type": "websocket.close", "code": 1000})

    async def _put(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError) as error:
            raise SocketClosed from error


async def refuse(send: Send, reply: Reply) -> None:
    """Answer a handshake with an error, as any other request."""
    body = reply.body
    assert isinstance(body, bytes)  # noqa: S101 - errors are whole
    headers = [(b"content-type", reply.content_type), *reply.headers]
    start = {"type": "websocket.http.response.start", "status": reply.status, "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": body})


async def first(*waits: asyncio.Task[Any]) -> None:
    """Wait until one of these is over, end the others, and raise what the first one raised."""
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        ends = await asyncio.gather(*waits, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end

"""Just enough HTTP on ASGI for an API whose every request counts: no router, no middleware.

A handler takes a ``Request`` and returns a ``Reply`` or raises ``ApiError``; the two faces of the
service (control plane, agent) put an error into their own envelope.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON_TYPE = b"application/json"


class ApiError(Exception):
    """A request that is answered with an error: HTTP status, machine-readable code, sentence."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


@dataclass(slots=True)
class Reply:
    """An answer; ``body`` may come in pieces, of ``length`` bytes together."""

    body: bytes | AsyncIterator[bytes]
    status: int = 200
    content_type: bytes = JSON_TYPE
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    length: int | None = None


class Request:
    """One request; the body is read when asked for, and never past its limit."""

    __slots__ = ("_receive", "headers", "method", "path", "port", "query_string", "segment")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.method: str = scope.get("method", "GET")  # a WebSocket's handshake is a GET
        self.segment = ""
        """What stands in the path where the route has {}."""
        self.path: str = scope["path"]
        self.port: int = scope["server"][1]
        self.query_string: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])

    def query(self, name: str, default: str | None = None) -> str:
        """A parameter of the query string; without ``default`` it must be there (400)."""
        for key, value in parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True):
            if key == name:
                return value
        if default is None:
            raise ApiError(400, "INVALID_REQUEST", f"the parameter {name} is missing")
        return default

    def bearer(self) -> bytes:
        """The token of the Authorization header, or nothing."""
        scheme, _, token = self.headers.get(b"authorization", b"").partition(b" ")
        return token.strip() if scheme.lower() == b"bearer" else b""

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ``ApiError`` 413 before more than ``limit`` is taken."""
        declared = self.headers.get(b"content-length", b"0")
        taken = int(declared) if declared.isdigit() else 0
        if taken > limit:
            raise _too_large(limit)
        taken, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ApiError(400, "INVALID_REQUEST", "the connection closed within the body")
            piece: bytes = message.get("body", b"")
            taken += len(piece)
            if taken > limit:
                raise _too_large(limit)
            if piece:
                yield piece
            more = message.get("more_body", False)

    async def body(self, limit: int) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces(limit)])

    async def json(self, limit: int) -> dict[str, Any]:
        """The body as a JSON object; 415 for another content type, 400 for anything else."""
        if self.content_type() != JSON_TYPE:
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json")
        try:
            value = json.loads(await self.body(limit))
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "INVALID_REQUEST", f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ApiError(400, "INVALID_REQUEST", "the body must be a JSON object")
        return value

    def content_type(self) -> bytes:
        """The body's media type, without parameters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "BODY_TOO_LARGE", f"the body exceeds {limit} bytes", limit=limit)


def reply_json(value: Any, status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply(json.dumps(value).encode(), status)


async def send_reply(send: Send, reply: Reply) -> None:
    """Send an answer, whole or in pieces."""
    body = reply.body
    length = len(body) if isinstance(body, bytes) else reply.length
    headers = [(b"content-type", reply.content_type), *reply.headers]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if isinstance(body, bytes):
        await send({"type": "http.response.body", "body": body})
        return
    async for piece in body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})

"""Posts the result of code to an address that its owner named, signed with the owner's secret.

The request leaves from the host, so the address is looked at before it is used: http and https
only; this machine's loopback (where a developer's receiver listens) and public addresses, never
link-local ones (a cloud's metadata), private networks or anything else; the address that was
looked at is the one that is connected to; no redirect is followed, and little of an answer is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import json
import re
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from glovebox_local.sandbox import checks
from glovebox_local.sandbox.http import ApiError

_TRIES = 3
_FIRST_PAUSE_SECONDS = 1.0
_TRY_SECONDS = 20.0
_MAX_URL_CHARACTERS = 2048
_MAX_HEADERS = 32
_MAX_HEADER_BYTES = 8192
_MAX_STATUS_LINE_BYTES = 4096
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# What the connection itself is made of, and what must not be mistaken for our own word.
_OURS = {"host", "content-length", "content-type", "transfer-encoding", "connection", "expect"} | {
    "upgrade",
    "te",
    "trailer",
    "x-hopx-signature",
    "x-hopx-timestamp",
}


class NotAllowedError(Exception):
    """The address is none that a callback may go to; the message says why."""


@dataclass(frozen=True, slots=True)
class Callback:
    """Where a result goes, and how."""

    url: str
    secure: bool
    host: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...]
    secret: str


def parse(body: dict[str, Any]) -> Callback:
    """``callback_url``, ``callback_headers`` and ``callback_signature_secret``.

    Raises ``ApiError`` 400 for an address or a header that cannot be.
    """
    url = checks.text(body, "callback_url")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _invalid(f"callback_url is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _invalid("callback_url must begin with http:// or https:// and name a host")
    if port == 0:
        raise _invalid("callback_url names no port that can be")
    if parts.username is not None or len(url) > _MAX_URL_CHARACTERS:
        message = f"callback_url has no user and {_MAX_URL_CHARACTERS} characters at most"
        raise _invalid(message)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
        raise _invalid("callback_url must be ASCII without spaces or control characters")
    secure = parts.scheme == "https"
    with contextlib.suppress(ValueError):  # a name is looked up when it is used
        try:
            _permit(ipaddress.ip_address(parts.hostname))
        except NotAllowedError as error:
            raise _invalid(f"callback_url: {error}") from error
    secret = body.get("callback_signature_secret")
    return Callback(
        url=url,
        secure=secure,
        host=parts.hostname,
        port=port or (443 if secure else 80),
        target=target,
        headers=_headers(body.get("callback_headers")),
        secret="" if secret is None else checks.text(body, "callback_signature_secret"),
    )


def _invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_CALLBACK", message)


def _headers(given: Any) -> tuple[tuple[str, str], ...]:
    if given is None:
        return ()
    if not isinstance(given, dict) or len(given) > _MAX_HEADERS:
        raise _invalid(f"callback_headers must be an object of {_MAX_HEADERS} strings at most")
    size = 0
    for name, value in given.items():
        if not isinstance(value, str) or not _VALUE.fullmatch(value) or not _NAME.fullmatch(name):
            raise _invalid("callback_headers holds a name or value that no header can have")
        if name.lower() in _OURS:
            raise _invalid(f"callback_headers may not set {name}")
        size += len(name) + len(value)
    if size > _MAX_HEADER_BYTES:
        raise _invalid(f"callback_headers exceeds {_MAX_HEADER_BYTES} bytes")
    return tuple(given.items())


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of X-HOPX-Signature: over the timestamp, then the body."""
    digest = hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


async def deliver(callback: Callback, said: dict[str, Any]) -> dict[str, Any]:
    """Post it, up to three times; returns what became of it (``status``, ``attempts``, …)."""
    body = json.dumps(said).encode()
    pause = _FIRST_PAUSE_SECONDS
    outcome: dict[str, Any] = {}
    for attempt in range(1, _TRIES + 1):
        try:
            async with asyncio.timeout(_TRY_SECONDS):
                code = await _post(callback, body)
        except NotAllowedError as error:
            return {"status": "refused", "attempts": attempt, "error": str(error)}
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            text = str(error) or type(error).__name__
            outcome = {"status": "failed", "attempts": attempt, "error": text}
        else:
            delivered = 200 <= code < 300
            state = "delivered" if delivered else "failed"
            outcome = {"status": state, "attempts": attempt, "http_status": code}
            if delivered or code < 500:
                return outcome
        if attempt < _TRIES:
            await asyncio.sleep(pause)
            pause *= 2
    return outcome


async def _post(callback: Callback, body: bytes) -> int:
    """One request; the answer's status code."""
    address = await _look_up(callback.host, callback.port)
    context = None
    if callback.secure:
        import ssl

        context = ssl.create_default_context()
    reader, writer = await asyncio.open_connection(
        address,
        callback.port,
        ssl=context,
        server_hostname=callback.host if context else None,
        limit=_MAX_STATUS_LINE_BYTES,
    )
    try:
        writer.write(_request(callback, body))
        await writer.drain()
        line = await reader.readuntil(b"\r\n")
        version, _, rest = line.decode("latin-1").partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            message = "the answer is not HTTP"
            raise ValueError(message)
        return int(rest[:3])
    except asyncio.LimitOverrunError as error:
        message = "the answer is not HTTP"
        raise ValueError(message) from error
    finally:
        # At once: an orderly end would wait for the other side.
        writer.transport.abort()


def _request(callback: Callback, body: bytes) -> bytes:
    timestamp = str(int(time.time()))
    host = f"[{callback.host}]" if ":" in callback.host else callback.host
    usual = 443 if callback.secure else 80
    lines = [
        f"POST {callback.target} HTTP/1.1",
        f"Host: {host if callback.port == usual else f'{host}:{callback.port}'}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        f"X-HOPX-Timestamp: {timestamp}",
    ]
    if callback.secret:
        lines.append(f"X-HOPX-Signature: {sign(callback.secret, timestamp, body)}")
    lines += [f"{name}: {value}" for name, value in callback.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def _look_up(host: str, port: int) -> str:
    """The address to connect to; every one that the name has must be permitted."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        _permit(ipaddress.ip_address(address.partition("%")[0]))
    return addresses[0]


def _permit(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Raise ``NotAllowedError`` unless it is loopback or public."""
    inner = address
    if isinstance(address, ipaddress.IPv6Address):
        # An IPv4 address in an IPv6 one goes where the inner one goes.
        inner = address.ipv4_mapped or address.sixtofour or address
        if address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if inner.is_loopback and inner == address:
        return
    if not inner.is_global or inner.is_multicast or inner.is_loopback:
        message = f"{address} is neither this machine's loopback nor a public address"
        raise NotAllowedError(message)

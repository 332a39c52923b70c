"""What stands below the SDK's HTTP clients: one SSL context, a hard deadline, a limit of bytes.

httpx bounds each read and write by itself, so that an answer which trickles takes for ever. Here
a request has so many seconds and so many bytes in all, however they are spread.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from typing import Any
from weakref import WeakSet

import httpcore
import httpx

CONTROL_BYTES = 8 * 1024 * 1024
"""Longest answer of the control plane: a page of a hundred sandboxes is below 100 kB."""
_PIECE_BYTES = 256 * 1024
_TALKERS = (
    *("hopx_ai", "hopx_ai._client", "hopx_ai._agent_client", "httpx", "httpcore"),
    *("httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"),
)
_now = threading.local()


def _is_no_gossip(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


@cache
def prepare_process() -> None:
    """Once a process: share what is costly, and silence what tells secrets.

    Stock, every client makes an SSL context of its own: 83 % of the SDK's CPU time per sandbox.
    Below WARNING the SDK logs request bodies and tokens, and httpx logs addresses; a filter holds
    that back also where somebody turns every logger to DEBUG.
    """
    transports: Any = import_module("httpx._transports.default")
    transports.create_ssl_context = cache(transports.create_ssl_context)
    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(name).addFilter(_is_no_gossip)


@contextmanager
def within(seconds: float, max_bytes: int) -> Iterator[None]:
    """Requests of this thread end within so many seconds and answer with so many bytes, or raise
    httpx.TimeoutException and httpx.ReadError. Within another block the shorter time holds.
    Resolving a name alone is not bounded: the resolver's own limits are."""
    before = getattr(_now, "until", math.inf), getattr(_now, "bytes_left", math.inf)
    _now.until, _now.bytes_left = min(before[0], time.monotonic() + seconds), max_bytes
    try:
        yield
    finally:
        _now.until, _now.bytes_left = before


def _seconds_left(timeout: float | None, over: type[Exception]) -> float | None:
    until: float = getattr(_now, "until", math.inf)
    if until == math.inf:
        return timeout
    left = until - time.monotonic()
    if left <= 0:
        message = "the deadline is over"
        raise over(message)
    return left if timeout is None else min(timeout, left)


class Wire(httpcore.NetworkBackend):
    """Opens connections that keep to the thread's deadline; `cut` ends them all."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()

    @classmethod
    def under(cls, client: httpx.Client) -> Wire:
        """Put a wire under a client, which has made no request yet."""
        wire = cls()
        transport: Any = client._transport
        transport._pool._network_backend = wire
        return wire

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """As httpcore's own."""
        left = _seconds_left(timeout, httpcore.ConnectTimeout)
        stream = self._backend.connect_tcp(host, port, left, local_address, socket_options)
        return self._watched(stream)

    def _watched(self, stream: httpcore.NetworkStream) -> _Stream:
        with self._lock:
            self._sockets.add(stream.get_extra_info("socket"))
        return _Stream(stream, self)

    def cut(self) -> None:
        """End every connection: who waits at one is told so at once."""
        with self._lock:
            open_now = list(self._sockets)
        for connection in open_now:
            # The plain call also for TLS: its own would take the state from under a reader.
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, wire: Wire) -> None:
        self._stream = stream
        self._wire = wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, _seconds_left(timeout, httpcore.ReadTimeout))
        _now.bytes_left = getattr(_now, "bytes_left", math.inf) - len(data)
        if _now.bytes_left < 0:
            message = "the answer is too long"
            raise httpcore.ReadError(message)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        for start in range(0, len(view), _PIECE_BYTES):
            piece: Any = view[start : start + _PIECE_BYTES]
            self._stream.write(piece, _seconds_left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _seconds_left(timeout, httpcore.ConnectTimeout)
        return self._wire._watched(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

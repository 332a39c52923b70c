"""A small HTTP/1.1 server for loopback use: the AWS front, the API gateway and the Runtime API.

Written for the cost per request: one thread per kept-alive connection, the request parsed in C,
the answer written with one system call.
"""

from __future__ import annotations

import contextlib
import http
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httptools

_RECEIVE_BYTES = 256 * 1024
_REASONS = {status.value: status.phrase for status in http.HTTPStatus}
# Statuses that carry neither a body nor a length (RFC 9110, 6.4.1 and 8.6).
_BODILESS = frozenset({204, 304})
_NO_BREAKS = {ord("\r"): None, ord("\n"): None}
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class HttpRequest:
    """One request: ``target`` as it came on the wire, header names in lower case, in order."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class HttpResponse:
    """One answer; the server adds Content-Length unless the handler gave it."""

    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)


Handler = Callable[[HttpRequest], HttpResponse]


class _Connection:
    """Reads the requests of one client and answers them in order."""

    def __init__(self, sock: socket.socket, handler: Handler, max_body_bytes: int) -> None:
        self._sock = sock
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._ready: list[HttpRequest] = []
        self._begin()

    def _begin(self) -> None:
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._chunks: list[bytes] = []
        self._size = 0

    # The next five are called by the parser, by these names.
    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        # An SDK that is about to send a body waits up to a second for this line.
        if any(n == "expect" and v.lower() == "100-continue" for n, v in self._headers):
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= self._max_body_bytes:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("ascii")
        target = self._target.decode("latin-1")
        self._ready.append(HttpRequest(method, target, self._headers, b"".join(self._chunks)))
        self._keep_alive = bool(self._parser.should_keep_alive())

    def serve(self) -> None:
        """Answer until the client hangs up, asks to close, or sends what is not HTTP."""
        while data := self._sock.recv(_RECEIVE_BYTES):
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError:
                self._send(HttpResponse(400, b"bad request"), head=False, keep_alive=False)
                return
            while self._ready:
                if not self._answer(self._ready.pop(0)):
                    return

    def _answer(self, request: HttpRequest) -> bool:
        keep_alive = self._keep_alive
        if self._size > self._max_body_bytes:
            response = HttpResponse(
                413,
                b'{"message":"Request Entity Too Large"}',
                [("content-type", "application/json")],
            )
        else:
            response = self._handle(request)
        self._begin()
        self._send(response, head=request.method == "HEAD", keep_alive=keep_alive)
        return keep_alive

    def _handle(self, request: HttpRequest) -> HttpResponse:
        try:
            return self._handler(request)
        except Exception:  # the last line of defence: a client must get an answer
            _log.exception("%s %s", request.method, request.target)
            body = b'{"message":"Internal Server Error"}'
            return HttpResponse(500, body, [("content-type", "application/json")])

    def _send(self, response: HttpResponse, *, head: bool, keep_alive: bool) -> None:
        status = response.status
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
        # A line break inside a value would let its author write headers (or answers) of their own.
        lines += [f"{n}: {v}".translate(_NO_BREAKS) for n, v in response.headers]
        sized = any(name.lower() == "content-length" for name, _ in response.headers)
        if not sized and status not in _BODILESS:
            lines.append(f"Content-Length: {len(response.body)}")
        if not keep_alive:
            lines.append("Connection: close")
        raw = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        self._sock.sendall(raw if head or status in _BODILESS else raw + response.body)


class LoopbackServer:
    """Listens on a free port of 127.0.0.1 from construction; answers from start() to stop()."""

    def __init__(self, handler: Handler, *, name: str, max_body_bytes: int = 1 << 30) -> None:
        self._handler = handler
        self._name = name
        self._max_body_bytes = max_body_bytes
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to answer; connections made since construction have been waiting in the backlog."""
        threading.Thread(target=self._accept, name=self._name, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed: stop()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._stopping:
                    sock.close()
                    return
                self._open.add(sock)
            threading.Thread(
                target=self._serve, args=(sock,), name=f"{self._name}-client", daemon=True
            ).start()

    def _serve(self, sock: socket.socket) -> None:
        # A client that vanishes, or stop() pulling the socket away, is the normal end.
        with contextlib.suppress(OSError):
            _Connection(sock, self._handler, self._max_body_bytes).serve()
        with self._lock:
            self._open.discard(sock)
        sock.close()

    def stop(self) -> None:
        """Close the port and every connection; requests in progress lose their answer."""
        with self._lock:
            self._stopping = True
            connections = list(self._open)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() alone does not
        self._listener.close()
        for sock in connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

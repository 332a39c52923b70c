"""Sockets of the fault proxy: a listener, its connections, and one request passed on."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

MAX_BODY_BYTES = 256 * 1024 * 1024
IDLE_SECONDS = 60
UPSTREAM_SECONDS = 900
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class UpstreamGone(Exception):
    """The provider closed the connection, or was not there: so must we."""


@dataclass
class Answer:
    """What a request is answered with."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)

    def head(self, length: int) -> bytes:
        """The answer up to its body, of which it says that it is `length` bytes long."""
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, 'Other')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.status != 204:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Connection(BaseHTTPRequestHandler):
    """A client's connection; it may carry many requests."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: Listener  # type: ignore[assignment]

    def serve(self) -> None:
        """One request: read whole, bounded, and handed over."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            self.drop()
            return
        self.body = self.rfile.read(length)
        try:
            self.server.serve(self)
        except UpstreamGone:
            self.drop()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    @property
    def bearer(self) -> str:
        """The token of the request."""
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def forward(self, cut: Callable[[], None] | None = None) -> Answer:
        """What the provider answers. Raises UpstreamGone where it does not, or once `cut` is
        over: it is called when the request is on its way."""
        target = urlsplit(self.server.upstream_url)
        assert target.hostname
        upstream = http.client.HTTPConnection(target.hostname, target.port, UPSTREAM_SECONDS)
        # The request's own Host: a provider may build addresses of it, which lead back here.
        headers = {n: v for n, v in self.headers.items() if n.lower() not in _HOP | {"host"}}
        headers["Connection"] = "close"
        try:
            upstream.request(self.command, self.path, self.body or None, headers)
            if cut is not None:
                cut()
                raise UpstreamGone
            answer = upstream.getresponse()
            body = answer.read(MAX_BODY_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamGone from error
        finally:
            upstream.close()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
        return Answer(answer.status, body, kept)

    def answer(self, answer: Answer) -> None:
        """Send an answer whole."""
        self.send(answer.head(len(answer.body)) + answer.body)

    def send(self, data: bytes) -> None:
        """Send bytes as they are; a client that has gone is no error."""
        try:
            self.connection.sendall(data)
        except OSError:
            self.close_connection = True

    def drop(self, *, reset: bool = False) -> None:
        """End the connection without another word: FIN, or RST."""
        self.close_connection = True
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


class Listener:
    """A port before one upstream; a thread accepts, a thread serves each connection."""

    def __init__(
        self, upstream_url: str, sandbox_id: str | None, serve: Callable[[Connection], None]
    ) -> None:
        self.upstream_url = upstream_url.rstrip("/")
        self.sandbox_id = sandbox_id
        """Whose agent stands behind it; None: the control plane does."""
        self.serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._accept, daemon=True, name="fault-proxy")
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, address = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._handle, args=(client, address), daemon=True)
            with self._lock:
                if self._closed:
                    client.close()
                    return
                self._open[client] = thread
            thread.start()

    def _handle(self, client: socket.socket, address: Any) -> None:
        try:
            Connection(client, address, self)  # type: ignore[arg-type]
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.pop(client, None)
            client.close()

    def close(self) -> None:
        """Take no more connections; those that are open go on."""
        self._closed = True
        # It wakes the thread that accepts, which closing alone would not.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def stop(self) -> None:
        """Take no more connections and end those that are open."""
        self.close()
        with self._lock:
            still_open = dict(self._open)
        for client in still_open:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in (self._thread, *still_open.values()):
            thread.join(5)

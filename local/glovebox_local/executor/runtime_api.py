"""The Lambda Runtime API of one worker: where its runtime asks for work and posts the answers."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Literal

from glovebox_local.http_server import HttpRequest, HttpResponse, LoopbackServer

_VERSION = "/2018-06-01/runtime/"
_ACCEPTED = HttpResponse(202, b'{"status":"OK"}', [("Content-Type", "application/json")])

Kind = Literal["response", "error", "init_error", "exit"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event for the runtime; the deadline is in seconds since the epoch."""

    request_id: str
    payload: bytes
    deadline: float


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """What became of the runtime, or of the invocation that it was given."""

    kind: Kind
    body: bytes = b""


class RuntimeApi:
    """Serves one runtime. ``events`` receives its answers and, from the worker, its end."""

    def __init__(self, function_arn: str) -> None:
        self._function_arn = function_arn
        self._invocations: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._current: str | None = None
        self.events: queue.Queue[RuntimeEvent] = queue.Queue()
        self.ready = threading.Event()
        """Set once the runtime has imported the function and asked for work."""
        self._server = LoopbackServer(self._handle, name="glovebox-runtime-api")
        self.address = f"127.0.0.1:{self._server.port}"
        self._server.start()

    def offer(self, invocation: Invocation) -> None:
        """Hand an event to the runtime, which waits for one."""
        self._current = invocation.request_id
        self._invocations.put(invocation)

    def stop(self) -> None:
        """Close the port and let a waiting runtime go."""
        self._invocations.put(None)
        self._server.stop()

    def _handle(self, request: HttpRequest) -> HttpResponse:
        path = request.target.removeprefix(_VERSION)
        if request.method == "GET" and path == "invocation/next":
            return self._next()
        if request.method == "POST" and path == "init/error":
            self.events.put(RuntimeEvent("init_error", request.body))
            return _ACCEPTED
        parts = path.split("/")
        if request.method == "POST" and len(parts) == 3 and parts[0] == "invocation":
            return self._answer(parts[1], parts[2], request.body)
        return HttpResponse(404)

    def _next(self) -> HttpResponse:
        self.ready.set()
        invocation = self._invocations.get()
        if invocation is None:
            return HttpResponse(500)
        trace = invocation.request_id.replace("-", "")
        headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(int(invocation.deadline * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", self._function_arn),
            ("Lambda-Runtime-Trace-Id", f"Root=1-{trace[:8]}-{trace[8:]};Sampled=0"),
        ]
        return HttpResponse(200, invocation.payload, headers)

    def _answer(self, request_id: str, kind: str, body: bytes) -> HttpResponse:
        if request_id != self._current:
            return HttpResponse(400, b'{"errorType":"InvalidRequestID"}')
        if kind == "response":
            self.events.put(RuntimeEvent("response", body))
        elif kind == "error":
            self.events.put(RuntimeEvent("error", body))
        else:
            return HttpResponse(404)
        self._current = None
        return _ACCEPTED

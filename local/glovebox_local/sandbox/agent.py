"""The agent: what answers at a sandbox's own address, for whoever holds one of its tokens."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from glovebox_local.sandbox.agent_absent import DESKTOP, AbsentRoutes
from glovebox_local.sandbox.agent_commands import CommandRoutes
from glovebox_local.sandbox.agent_execute import ExecuteRoutes
from glovebox_local.sandbox.agent_files import FileRoutes
from glovebox_local.sandbox.agent_metrics import MetricsRoutes
from glovebox_local.sandbox.agent_processes import ProcessRoutes
from glovebox_local.sandbox.agent_streams import StreamRoutes
from glovebox_local.sandbox.agent_terminal import TerminalRoutes
from glovebox_local.sandbox.agent_watch import WatchRoutes
from glovebox_local.sandbox.envelopes import agent_error, now
from glovebox_local.sandbox.http import (
    ApiError,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    reply_json,
    send_reply,
)
from glovebox_local.sandbox.listeners import Listeners
from glovebox_local.sandbox.programs import Programs
from glovebox_local.sandbox.recipe import HOSTNAME
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.sessions import PythonSessions
from glovebox_local.sandbox.settings import SandboxSettings
from glovebox_local.sandbox.sockets import Socket, SocketClosed, refuse

logger = logging.getLogger(__name__)

# The agent API that the vendor's description of it had when this was written.
_AGENT_VERSION = "3.2.8"
_FEATURES = {
    "code_execution": True,
    "background_execution": True,
    "async_callbacks": True,
    "streaming": True,
    "file_operations": True,
    "file_watching": True,
    "terminal": True,
    "persistent_python": True,
    "desktop": False,
    "cache": False,
}
# Each is a connection, and most are a process too.
_MAX_SOCKETS = 64
_OTHER = "other"
_MAX_SEGMENTS = 5

Handler = Callable[[Request, Sandbox], Awaitable[Reply]]
SocketHandler = Callable[[Request, Socket, Sandbox], Awaitable[None]]


class Agent:
    """The ASGI application of every sandbox's address; the port says which sandbox is meant."""

    def __init__(self, settings: SandboxSettings, null_fd: int) -> None:
        self._listeners: Listeners | None = None
        self._started = time.monotonic()
        programs = Programs(settings, null_fd)
        sessions = PythonSessions(programs, settings.output_bytes)
        metrics = MetricsRoutes(settings)
        absent = AbsentRoutes()
        self._desktop = absent.desktop
        self._open_routes: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self._health,
            ("GET", "/info"): self._info,
            ("GET", "/ping"): self._ping,
            ("GET", "/"): self._root,
            **metrics.open_routes,
        }
        # (method, path with {} for one segment).
        self._routes: dict[tuple[str, str], Handler] = {
            **CommandRoutes(settings, programs).routes,
            **FileRoutes(settings, programs).routes,
            **ExecuteRoutes(settings, programs, sessions).routes,
            **ProcessRoutes().routes,
            **metrics.routes,
            **absent.routes,
        }
        self._socket_routes: dict[str, SocketHandler] = {
            **StreamRoutes(programs, sessions).routes,
            **TerminalRoutes(programs).routes,
            **WatchRoutes().routes,
        }
        self._paths = {path for _, path in (*self._open_routes, *self._routes)}
        self._names = {key: " ".join(key) for key in (*self._open_routes, *self._routes)}

    def attach(self, listeners: Listeners) -> None:
        """Say who knows which port is whose (they need this application first)."""
        self._listeners = listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or converse over one WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            return
        began = time.perf_counter()
        request = Request(scope, receive)
        sandbox = self._listeners.owner(request.port) if self._listeners else None
        route = _OTHER
        try:
            if sandbox is None:
                raise ApiError(404, "SANDBOX_NOT_FOUND", "there is no sandbox at this address")
            if scope["type"] == "websocket":
                route, reply = await self._converse(request, sandbox, receive, send)
            else:
                route, handler = self._find(request, sandbox)
                reply = await handler(request, sandbox)
        except ApiError as error:
            reply = agent_error(error)
        except Exception:
            logger.exception("an agent request failed")
            reply = agent_error(ApiError(500, "INTERNAL_ERROR", "the service failed"))
        if sandbox is not None:
            status = 101 if reply is None else reply.status
            sandbox.counters.count(route, status, time.perf_counter() - began)
        if reply is not None:
            await (send_reply if scope["type"] == "http" else refuse)(send, reply)

    def _find(self, request: Request, sandbox: Sandbox) -> tuple[str, Handler]:
        """(the route's name, its handler) of a request that may be made."""
        key = (request.method, request.path)
        handler = self._open_routes.get(key)
        if handler is None:
            _admit(request, sandbox)
            handler = self._routes.get(key)
        sandbox.require_running()
        if handler is not None:
            return self._names[key], handler
        for place, segment in enumerate(parts := request.path.split("/", _MAX_SEGMENTS)):
            pattern = "/".join([*parts[:place], "{}", *parts[place + 1 :]])
            if segment and (handler := self._routes.get((request.method, pattern))):
                request.segment = segment
                return f"{request.method} {pattern}", handler
        if request.path.startswith(DESKTOP):
            return f"{request.method} {DESKTOP}", self._desktop
        if request.path in self._socket_routes and request.method == "GET":
            raise ApiError(400, "WEBSOCKET_REQUIRED", "this path is a WebSocket's")
        if request.path in self._paths:
            raise ApiError(405, "METHOD_NOT_ALLOWED", f"{request.method} is not for this path")
        raise ApiError(404, "NOT_FOUND", f"there is nothing at {request.path[:200]}")

    async def _converse(
        self, request: Request, sandbox: Sandbox, receive: Receive, send: Send
    ) -> tuple[str, Reply | None]:
        """(the route's name, None) after a conversation."""
        _admit(request, sandbox)
        sandbox.require_running()
        handler = self._socket_routes.get(request.path)
        if handler is None:
            raise ApiError(404, "NOT_FOUND", "there is no WebSocket at this path")
        if sandbox.counters.sockets >= _MAX_SOCKETS:
            raise ApiError(409, "TOO_MANY_SOCKETS", f"{_MAX_SOCKETS} are open already")
        sandbox.counters.sockets += 1
        socket = Socket(receive, send)
        try:
            await socket.accept()
            await _serve(handler, request, socket, sandbox)
        except SocketClosed:
            pass
        finally:
            sandbox.counters.sockets -= 1
        return f"GET {request.path}", None

    async def _health(self, _: Request, __: Sandbox) -> Reply:
        uptime = time.monotonic() - self._started
        return reply_json({"status": "healthy", "uptime": uptime, "version": _AGENT_VERSION})

    async def _info(self, _: Request, sandbox: Sandbox) -> Reply:
        return reply_json(
            {
                "agent": "glovebox",
                "version": _AGENT_VERSION,
                "platform": "linux",
                "vm_id": sandbox.id,
                "ip": HOSTNAME,
                "port": str(sandbox.listener.port),
                "start_time": sandbox.created_at.isoformat(),
                "features": _FEATURES,
                "endpoints": self._endpoints(),
            }
        )

    async def _ping(self, _: Request, __: Sandbox) -> Reply:
        return reply_json({"status": "ok", "timestamp": now()})

    async def _root(self, _: Request, __: Sandbox) -> Reply:
        return reply_json(
            {"service": "glovebox", "version": _AGENT_VERSION, "endpoints": self._endpoints()}
        )

    def _endpoints(self) -> list[str]:
        plain = [f"{method} {path}" for method, path in (*self._open_routes, *self._routes)]
        return sorted([*plain, *(f"WS {path}" for path in self._socket_routes)])


def _admit(request: Request, sandbox: Sandbox) -> None:
    if not sandbox.admits(request.bearer()):
        raise ApiError(401, "INVALID_TOKEN", "the token is missing, wrong or expired")


async def _serve(
    handler: SocketHandler, request: Request, socket: Socket, sandbox: Sandbox
) -> None:
    """Run a conversation to its end; whatever goes wrong is said before it closes."""
    try:
        await handler(request, socket, sandbox)
    except ApiError as error:
        await socket.fail(error.code, error.message)
    except SocketClosed:
        raise
    except Exception:
        logger.exception("a conversation failed")
        await socket.fail("INTERNAL_ERROR", "the service failed")
    await socket.close()

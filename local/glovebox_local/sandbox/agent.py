"""The agent: what answers at a sandbox's own address, for whoever holds one of its tokens."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from glovebox_local.sandbox.agent_commands import CommandRoutes
from glovebox_local.sandbox.agent_files import FileRoutes
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
from glovebox_local.sandbox.recipe import HOSTNAME
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.settings import SandboxSettings

logger = logging.getLogger(__name__)

# The agent API that the vendor's description of it had when this was written.
_AGENT_VERSION = "3.2.8"

Handler = Callable[[Request, Sandbox], Awaitable[Reply]]


class Agent:
    """The ASGI application of every sandbox's address; the port says which sandbox is meant."""

    def __init__(self, settings: SandboxSettings, null_fd: int) -> None:
        self._listeners: Listeners | None = None
        self._started = time.monotonic()
        commands = CommandRoutes(settings, null_fd)
        self._open_routes: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self._health,
            ("GET", "/info"): self._info,
            ("GET", "/ping"): self._ping,
        }
        self._routes: dict[tuple[str, str], Handler] = {
            **commands.routes,
            **FileRoutes(settings, commands).routes,
        }
        self._paths = {path for _, path in self._routes}

    def attach(self, listeners: Listeners) -> None:
        """Say who knows which port is whose (they need this application first)."""
        self._listeners = listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            reply = await self._answer(request)
        except ApiError as error:
            reply = agent_error(error)
        except Exception:
            logger.exception("an agent request failed")
            reply = agent_error(ApiError(500, "INTERNAL_ERROR", "the service failed"))
        await send_reply(send, reply)

    async def _answer(self, request: Request) -> Reply:
        sandbox = self._listeners.owner(request.port) if self._listeners else None
        if sandbox is None:
            raise ApiError(404, "SANDBOX_NOT_FOUND", "there is no sandbox at this address")
        handler = self._open_routes.get((request.method, request.path))
        if handler is not None:
            sandbox.require_running()
            return await handler(request, sandbox)
        if not sandbox.admits(request.bearer()):
            raise ApiError(401, "INVALID_TOKEN", "the token is missing, wrong or expired")
        sandbox.require_running()
        handler = self._routes.get((request.method, request.path))
        if handler is None and request.path in self._paths:
            raise ApiError(405, "METHOD_NOT_ALLOWED", f"{request.method} is not for this path")
        if handler is None:
            raise ApiError(501, "NOT_IMPLEMENTED", "the local service does not do this yet")
        return await handler(request, sandbox)

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
            }
        )

    async def _ping(self, _: Request, __: Sandbox) -> Reply:
        return reply_json({"status": "ok", "timestamp": now()})

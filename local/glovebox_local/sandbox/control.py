"""The control plane: ``/v1/...`` as HopX has it, for whoever holds the API key."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from glovebox_local.sandbox import templates
from glovebox_local.sandbox.control_sandboxes import SandboxRoutes
from glovebox_local.sandbox.envelopes import control_error, new_request_id
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
from glovebox_local.sandbox.images.catalogue import Images
from glovebox_local.sandbox.sandboxes import Sandboxes
from glovebox_local.sandbox.settings import SandboxSettings
from glovebox_local.sandbox.templates import TemplateRoutes

logger = logging.getLogger(__name__)


Handler = Callable[[Request, str], Awaitable[Reply]]


class ControlPlane:
    """The ASGI application of the main port."""

    def __init__(
        self,
        settings: SandboxSettings,
        images: Images,
        sandboxes: Sandboxes,
        template_routes: TemplateRoutes,
        isolation: dict[str, Any],
    ) -> None:
        """``isolation`` is the level reached and what it does not enforce, for whoever asks."""
        self._settings = settings
        self._images = images
        self._sandboxes = sandboxes
        self._templates = template_routes
        self._isolation = isolation
        self._key = settings.api_key.encode()
        self._open_routes: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self._health,
            ("GET", "/info"): self._info,
        }
        # (method, path with {} for one segment): the segment is the handler's second argument.
        self._routes: dict[tuple[str, str], Handler] = {
            **SandboxRoutes(settings, images, sandboxes).routes,
        }
        self._methods: dict[str, list[str]] = {}
        for method, path in (*self._open_routes, *self._routes):
            self._methods.setdefault(path, []).append(method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        request_id = new_request_id()
        try:
            reply = await self._answer(request)
        except ApiError as error:
            reply = control_error(error, request_id, flat=self._settings.flat_errors)
        except Exception:
            logger.exception("control request %s failed", request_id)
            failure = ApiError(500, "INTERNAL_ERROR", "the service failed")
            reply = control_error(failure, request_id, flat=self._settings.flat_errors)
        reply.headers.append((b"x-request-id", request_id.encode()))
        await send_reply(send, reply)

    async def _answer(self, request: Request) -> Reply:
        handler = self._open_routes.get((request.method, request.path))
        if handler is not None:
            return await handler(request, "")
        if self._templates.is_upload(request):
            return await self._templates.upload(request)
        given = request.headers.get(b"x-api-key") or request.bearer()
        if not hmac.compare_digest(given, self._key):
            raise ApiError(401, "UNAUTHORIZED", "the API key is missing or wrong")
        if request.path.startswith(templates.ROOT):
            return await self._templates.answer(request)
        handler = self._routes.get((request.method, request.path))
        if handler is not None:
            return await handler(request, "")
        pattern, segment = _pattern(request.path)
        handler = self._routes.get((request.method, pattern))
        if handler is not None:
            return await handler(request, segment)
        allowed = self._methods.get(request.path) or self._methods.get(pattern)
        if allowed:
            message = f"{request.method} is not for this path"
            raise ApiError(405, "METHOD_NOT_ALLOWED", message, allow=allowed)
        raise ApiError(404, "NOT_FOUND", f"there is nothing at {request.path}")

    async def _health(self, _: Request, __: str) -> Reply:
        return reply_json({"status": "healthy", **self._isolation})

    async def _info(self, _: Request, __: str) -> Reply:
        """What holds for every sandbox here; nothing about any one, since this asks for no key."""
        settings = self._settings
        limits = {
            "max_sandboxes": settings.max_sandboxes,
            "memory_mb": settings.memory_mb,
            "pids": settings.pids,
            "cpus": settings.cpus,
            "workspace_mb": settings.workspace_mb,
            "tmp_mb": settings.tmp_mb,
        }
        quotas = {
            "creates_per_minute": settings.quotas.creates_per_minute,
            "credits": settings.quotas.credits,
            "plan_limit": settings.quotas.plan_limit,
        }
        return reply_json(
            {"service": "glovebox", **self._isolation, "limits": limits, "quotas": quotas}
        )


def _pattern(path: str) -> tuple[str, str]:
    """A path with its third segment taken out: (pattern, segment)."""
    parts = path.split("/")
    if len(parts) < 4 or not parts[3]:
        return path, ""
    return "/".join([*parts[:3], "{}", *parts[4:]]), parts[3]

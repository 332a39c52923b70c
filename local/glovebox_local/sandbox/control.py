"""The control plane: ``/v1/...`` as HopX has it, for whoever holds the API key."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

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
from glovebox_local.sandbox.images import Images
from glovebox_local.sandbox.sandboxes import Sandboxes
from glovebox_local.sandbox.settings import SandboxSettings

logger = logging.getLogger(__name__)

_TEMPLATES = "/v1/templates"

Handler = Callable[[Request, str], Awaitable[Reply]]


class ControlPlane:
    """The ASGI application of the main port."""

    def __init__(
        self,
        settings: SandboxSettings,
        images: Images,
        sandboxes: Sandboxes,
        isolation: dict[str, Any],
    ) -> None:
        """``isolation`` is the level reached and what it does not enforce, for whoever asks."""
        self._settings = settings
        self._images = images
        self._sandboxes = sandboxes
        self._isolation = isolation
        self._key = settings.api_key.encode()
        self._open_routes: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self._health,
            ("GET", "/info"): self._info,
        }
        # (method, path with {} for one segment): the segment is the handler's second argument.
        self._routes: dict[tuple[str, str], Handler] = {
            **SandboxRoutes(settings, images, sandboxes).routes,
            ("GET", _TEMPLATES): self._list_images,
            ("GET", f"{_TEMPLATES}/{{}}"): self._get_image,
            ("DELETE", f"{_TEMPLATES}/{{}}"): self._later,
            ("POST", f"{_TEMPLATES}/build"): self._later,
            ("POST", f"{_TEMPLATES}/files/upload-link"): self._later,
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
        given = request.headers.get(b"x-api-key") or request.bearer()
        if not hmac.compare_digest(given, self._key):
            raise ApiError(401, "UNAUTHORIZED", "the API key is missing or wrong")
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

    async def _list_images(self, _: Request, __: str) -> Reply:
        return reply_json({"data": [self._images.describe(i) for i in self._images.all()]})

    async def _get_image(self, _: Request, name: str) -> Reply:
        image = self._images.find(name)
        if image is None:
            raise ApiError(404, "TEMPLATE_NOT_FOUND", f"there is no template {name}")
        return reply_json(self._images.describe(image))

    async def _later(self, _: Request, __: str) -> Reply:
        raise ApiError(501, "NOT_IMPLEMENTED", "the local service does not do this yet")


def _pattern(path: str) -> tuple[str, str]:
    """A path with its third segment taken out: (pattern, segment)."""
    parts = path.split("/")
    if len(parts) < 4 or not parts[3]:
        return path, ""
    return "/".join([*parts[:3], "{}", *parts[4:]]), parts[3]

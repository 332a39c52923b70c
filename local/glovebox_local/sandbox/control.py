"""The control plane: ``/v1/...`` as HopX has it, for whoever holds the API key."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from glovebox_local.sandbox import checks, templates
from glovebox_local.sandbox.envelopes import control_error
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
from glovebox_local.sandbox.images.catalogue import Image, Images
from glovebox_local.sandbox.keeper_link import SpawnError
from glovebox_local.sandbox.sandboxes import CapacityError, Sandbox, Sandboxes
from glovebox_local.sandbox.settings import SandboxSettings
from glovebox_local.sandbox.templates import TemplateRoutes

logger = logging.getLogger(__name__)

_ORGANIZATION = 1
_MAX_PAGE = 100
_STATES = ("creating", "running", "paused", "stopped")
_RETRY_SECONDS = 1
_SANDBOXES = "/v1/sandboxes"

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
        self._settings = settings
        self._images = images
        self._sandboxes = sandboxes
        self._templates = template_routes
        self._isolation = isolation
        self._key = settings.api_key.encode()
        # (method, path with {} for one segment): the segment is the handler's second argument.
        self._routes: dict[tuple[str, str], Handler] = {
            ("POST", _SANDBOXES): self._create,
            ("GET", _SANDBOXES): self._list,
            ("GET", f"{_SANDBOXES}/{{}}"): self._get,
            ("DELETE", f"{_SANDBOXES}/{{}}"): self._delete,
            ("PUT", f"{_SANDBOXES}/{{}}/timeout"): self._set_timeout,
            ("POST", f"{_SANDBOXES}/{{}}/token/refresh"): self._refresh_token,
            ("POST", f"{_SANDBOXES}/{{}}/pause"): self._later,
            ("POST", f"{_SANDBOXES}/{{}}/resume"): self._later,
        }
        self._paths = {path for _, path in self._routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            reply = await self._answer(request)
        except ApiError as error:
            reply = control_error(error)
        except Exception:
            logger.exception("a control request failed")
            reply = control_error(ApiError(500, "INTERNAL_ERROR", "the service failed"))
        await send_reply(send, reply)

    async def _answer(self, request: Request) -> Reply:
        if request.path == "/health" and request.method == "GET":
            return reply_json({"status": "healthy", **self._isolation})
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
        if handler is None and {pattern, request.path} & self._paths:
            raise ApiError(405, "METHOD_NOT_ALLOWED", f"{request.method} is not for this path")
        if handler is None:
            raise ApiError(404, "NOT_FOUND", f"there is nothing at {request.path}")
        return await handler(request, segment)

    async def _create(self, request: Request, _: str) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        image = self._image(body)
        try:
            sandbox = await self._sandboxes.create(
                image,
                network=checks.flag(body, "internet_access", True),
                env=checks.variables(body, "env_vars"),
                timeout_seconds=checks.whole_seconds(body, "timeout_seconds"),
            )
        except CapacityError as error:
            limit = self._settings.max_sandboxes
            raise ApiError(
                429,
                "RATE_LIMIT_EXCEEDED",
                f"{limit} sandboxes live already",
                retry_after_seconds=_RETRY_SECONDS,
                limit=limit,
            ) from error
        except SpawnError as error:
            logger.exception("a sandbox could not be made")
            raise ApiError(500, "SANDBOX_NOT_CREATED", str(error)) from error
        token = sandbox.tokens[-1]
        opening = {"auth_token": token.value, "token_expires_at": _time(token.expires_at)}
        return reply_json(self._describe(sandbox) | opening, 201)

    async def _list(self, request: Request, _: str) -> Reply:
        limit = request.query("limit", str(_MAX_PAGE))
        cursor = request.query("cursor", "0")
        status = request.query("status", "")
        region = request.query("region", "")
        if not limit.isdecimal() or not 1 <= int(limit) <= _MAX_PAGE:
            raise checks.invalid(f"limit must be a number from 1 to {_MAX_PAGE}")
        if not cursor.isdecimal():
            raise checks.invalid("cursor must be what next_cursor said")
        if status and status not in _STATES:
            raise checks.invalid(f"status must be one of {', '.join(_STATES)}")
        page: list[Sandbox] = []
        more = False
        for sandbox in self._sandboxes.all():
            if sandbox.number <= int(cursor) or status not in ("", "running"):
                continue
            if region and region != sandbox.region:
                continue
            if len(page) == int(limit):
                more = True
                break
            page.append(sandbox)
        answer: dict[str, Any] = {"data": [self._describe(s) for s in page], "has_more": more}
        if more:
            answer["next_cursor"] = str(page[-1].number)
        return reply_json(answer)

    async def _get(self, _: Request, sandbox_id: str) -> Reply:
        return reply_json(self._describe(self._find(sandbox_id)))

    async def _delete(self, _: Request, sandbox_id: str) -> Reply:
        await self._sandboxes.kill(self._find(sandbox_id))
        return reply_json({"id": sandbox_id, "status": "deleted"})

    async def _set_timeout(self, request: Request, sandbox_id: str) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        seconds = checks.whole_seconds(body, "timeout_seconds")
        if seconds is None:
            raise checks.invalid("timeout_seconds is missing")
        sandbox = self._find(sandbox_id)
        self._sandboxes.set_timeout(sandbox, seconds)
        return reply_json(self._describe(sandbox))

    async def _refresh_token(self, _: Request, sandbox_id: str) -> Reply:
        token = self._sandboxes.issue_token(self._find(sandbox_id))
        return reply_json({"auth_token": token.value, "token_expires_at": _time(token.expires_at)})

    async def _later(self, _: Request, __: str) -> Reply:
        raise ApiError(501, "NOT_IMPLEMENTED", "the local service does not do this yet")

    def _find(self, sandbox_id: str) -> Sandbox:
        sandbox = self._sandboxes.find(sandbox_id)
        if sandbox is None:
            raise ApiError(404, "SANDBOX_NOT_FOUND", f"there is no sandbox {sandbox_id}")
        return sandbox

    def _image(self, body: dict[str, Any]) -> Image:
        wanted = body.get("template_name") or body.get("template_id")
        if not isinstance(wanted, str):
            raise checks.invalid("template_name or template_id is missing")
        image = self._images.find(wanted)
        if image is None:
            raise ApiError(404, "TEMPLATE_NOT_FOUND", f"there is no template {wanted}")
        return image

    def _describe(self, sandbox: Sandbox) -> dict[str, Any]:
        expires_at = sandbox.expires_at
        return {
            "id": sandbox.id,
            "organization_id": _ORGANIZATION,
            "node_id": "local",
            "region": sandbox.region,
            "status": "running",
            "template_id": sandbox.image.id,
            "template_name": sandbox.image.name,
            "public_host": sandbox.listener.url,
            "direct_url": sandbox.listener.url,
            "preview_url": None,
            "resources": {
                "vcpu": self._images.vcpu(),
                "memory_mb": self._settings.memory_mb,
                "disk_mb": self._settings.workspace_mb,
            },
            "internet_access": sandbox.network,
            "live_mode": True,
            "timeout_seconds": sandbox.timeout_seconds,
            "expires_at": _time(expires_at) if expires_at else None,
            "created_at": _time(sandbox.created_at),
        }


def _pattern(path: str) -> tuple[str, str]:
    """A path with its third segment taken out: (pattern, segment)."""
    parts = path.split("/")
    if len(parts) < 4 or not parts[3]:
        return path, ""
    return "/".join([*parts[:3], "{}", *parts[4:]]), parts[3]


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")

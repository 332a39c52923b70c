"""The control plane's sandboxes: ``/v1/sandboxes`` and everything below it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from glovebox_local.sandbox import checks
from glovebox_local.sandbox.http import ApiError, Reply, Request, reply_json
from glovebox_local.sandbox.images.catalogue import Image, Images
from glovebox_local.sandbox.keeper_link import SpawnError
from glovebox_local.sandbox.quotas import QuotaCounter
from glovebox_local.sandbox.sandboxes import CapacityError, Sandbox, Sandboxes
from glovebox_local.sandbox.settings import SandboxSettings
from glovebox_local.sandbox.states import STATES, StateError

logger = logging.getLogger(__name__)

_ORGANIZATION = 1
_MAX_PAGE = 100
_MAX_CURSOR_DIGITS = 18
_RETRY_SECONDS = 1
_SANDBOXES = "/v1/sandboxes"

Handler = Callable[[Request, str], Awaitable[Reply]]
Move = Callable[[Sandbox], Awaitable[None]]


class SandboxRoutes:
    """Handlers by (method, path), with ``{}`` for the segment that is the second argument."""

    def __init__(self, settings: SandboxSettings, images: Images, sandboxes: Sandboxes) -> None:
        self._settings = settings
        self._images = images
        self._sandboxes = sandboxes
        self._quotas = QuotaCounter(settings.quotas)
        states = sandboxes.states
        self._moves: dict[str, Move] = {
            "pause": states.pause,
            "resume": states.resume,
            "start": states.start,
            "stop": states.stop,
        }
        one = f"{_SANDBOXES}/{{}}"
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", _SANDBOXES): self._create,
            ("GET", _SANDBOXES): self._list,
            ("GET", one): self._get,
            ("DELETE", one): self._delete,
            ("PUT", f"{one}/timeout"): self._set_timeout,
            ("POST", f"{one}/token/refresh"): self._refresh_token,
            **{("POST", f"{one}/{word}"): self._mover(move) for word, move in self._moves.items()},
        }

    async def _create(self, request: Request, _: str) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        image = self._image(body)
        network = checks.flag(body, "internet_access", True)
        env = checks.variables(body, "env_vars")
        timeout = checks.whole_seconds(body, "timeout_seconds")
        self._quotas.admit(self._sandboxes.live)
        try:
            sandbox = await self._sandboxes.create(
                image, network=network, env=env, timeout_seconds=timeout
            )
        except CapacityError as error:
            self._quotas.refund()
            limit = self._settings.max_sandboxes
            raise ApiError(
                429,
                "RATE_LIMIT_EXCEEDED",
                f"{limit} sandboxes live already",
                retry_after_seconds=_RETRY_SECONDS,
                limit=limit,
            ) from error
        except SpawnError as error:
            self._quotas.refund()
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
        if not _is_number(limit) or not 1 <= int(limit) <= _MAX_PAGE:
            raise checks.invalid(f"limit must be a number from 1 to {_MAX_PAGE}")
        if not _is_number(cursor):
            raise checks.invalid("cursor must be what next_cursor said")
        if status and status not in STATES:
            raise checks.invalid(f"status must be one of {', '.join(STATES)}")
        page: list[Sandbox] = []
        more = False
        for sandbox in self._sandboxes.all():
            if sandbox.number <= int(cursor) or status not in ("", sandbox.state):
                continue
            if region and region != sandbox.region:
                continue
            if len(page) == int(limit):
                more = True
                break
            page.append(sandbox)
        described = [self._describe(sandbox) for sandbox in page]
        answer: dict[str, Any] = {"object": "list", "data": described, "has_more": more}
        if more:
            answer["next_cursor"] = str(page[-1].number)
        return reply_json(answer)

    async def _get(self, _: Request, sandbox_id: str) -> Reply:
        sandbox = self._find(sandbox_id)
        return reply_json(self._describe(sandbox) | {"limits_hit": sandbox.limits.hit_ever()})

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

    def _mover(self, move: Move) -> Handler:
        async def handle(_: Request, sandbox_id: str) -> Reply:
            sandbox = self._find(sandbox_id)
            try:
                await move(sandbox)
            except StateError as error:
                raise ApiError(500, "STATE_NOT_CHANGED", str(error)) from error
            return reply_json(self._describe(sandbox))

        return handle

    def _find(self, sandbox_id: str) -> Sandbox:
        sandbox = self._sandboxes.find(sandbox_id)
        if sandbox is None:
            raise ApiError(404, "SANDBOX_NOT_FOUND", f"there is no sandbox {sandbox_id}")
        return sandbox

    def _image(self, body: dict[str, Any]) -> Image:
        wanted = body.get("template_name") or body.get("template_id")
        if isinstance(wanted, int) and not isinstance(wanted, bool):
            wanted = str(wanted)  # the vendor takes an id's number as well
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
            "object": "sandbox",
            "organization_id": _ORGANIZATION,
            "node_id": "local",
            "region": sandbox.region,
            "status": sandbox.state,
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


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_CURSOR_DIGITS


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")

"""The routes below ``/v1/templates``: what HopX calls a template is an image here."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from glovebox_local.sandbox import checks
from glovebox_local.sandbox.http import ApiError, Reply, Request, reply_json
from glovebox_local.sandbox.images import request as requests
from glovebox_local.sandbox.images.build import Build
from glovebox_local.sandbox.images.builds import Builds
from glovebox_local.sandbox.images.catalogue import Entry, Images
from glovebox_local.sandbox.images.uploads import LINK_SECONDS, MAX_HASH_CHARACTERS, Uploads
from glovebox_local.sandbox.settings import SandboxSettings

ROOT = "/v1/templates"
_FILES = f"{ROOT}/files/"
_BUILD = f"{ROOT}/build"
_OF_BUILD = re.compile(rf"{_BUILD}/([^/]+)/(status|logs)")
_ONE = re.compile(rf"{ROOT}/([^/]+)")
_HOST = re.compile(rb"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")
_PROGRESS_AT_MOST = 99
_EVENTS = b"text/event-stream"
_EVENT_SECONDS = 0.2

Handler = Callable[[Request], Awaitable[Reply]]


class TemplateRoutes:
    """Answers requests whose path begins with ``ROOT``."""

    def __init__(
        self, settings: SandboxSettings, images: Images, uploads: Uploads, builds: Builds
    ) -> None:
        self._settings = settings
        self._images = images
        self._uploads = uploads
        self._builds = builds
        self._fixed: dict[tuple[str, str], Handler] = {
            ("GET", ROOT): self._list,
            ("POST", f"{_FILES}upload-link"): self._link,
            ("POST", _BUILD): self._build,
        }

    def is_upload(self, request: Request) -> bool:
        """Whether this is an upload, which its link opens and not the API key."""
        return request.method == "PUT" and request.path.startswith(_FILES)

    async def upload(self, request: Request) -> Reply:
        """Take the archive that a link was given for."""
        token = request.path.removeprefix(_FILES)
        pieces = request.pieces(self._uploads.max_archive_bytes)
        return reply_json({"sha256": await self._uploads.receive(token, pieces)})

    async def answer(self, request: Request) -> Reply:
        """Answer anything else, for somebody who showed the API key."""
        handler = self._fixed.get((request.method, request.path))
        if handler is not None:
            return await handler(request)
        of_build = _OF_BUILD.fullmatch(request.path)
        if of_build and request.method == "GET":
            build = self._found_build(of_build[1])
            return self._status(build) if of_build[2] == "status" else self._logs(request, build)
        one = _ONE.fullmatch(request.path)
        if one and request.method == "GET" and request.path != _BUILD:
            return reply_json(self._images.describe(self._found(one[1])))
        if one and request.method == "DELETE" and request.path != _BUILD:
            return self._delete(self._found(one[1]))
        if one or of_build or any(request.path == path for _, path in self._fixed):
            raise ApiError(405, "METHOD_NOT_ALLOWED", f"{request.method} is not for this path")
        raise ApiError(404, "NOT_FOUND", f"there is nothing at {request.path}")

    async def _list(self, request: Request) -> Reply:
        wanted = {name: request.query(name, "") for name in ("category", "language")}
        described = [
            image
            for image in map(self._images.describe, self._images.all())
            if all(value in ("", image[name]) for name, value in wanted.items())
        ]
        return reply_json({"object": "list", "data": described, "has_more": False, "url": ROOT})

    async def _link(self, request: Request) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        files_hash = checks.text(body, "files_hash")
        size = body.get("content_length")
        if not 0 < len(files_hash) <= MAX_HASH_CHARACTERS:
            raise checks.invalid(f"files_hash must be 1 to {MAX_HASH_CHARACTERS} characters")
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise checks.invalid("content_length must be a positive whole number")
        limit = self._uploads.max_archive_bytes
        if size > limit:
            raise checks.invalid(f"content_length exceeds {limit} bytes")
        present = self._uploads.has(files_hash)
        answer: dict[str, Any] = {"present": present, "files_hash": files_hash, **_request_id()}
        if not present:
            link = self._uploads.announce(files_hash, size)
            expires = datetime.now(UTC) + timedelta(seconds=LINK_SECONDS)
            answer["upload_url"] = f"{self._address(request)}{_FILES}{link.token}"
            answer["expires_at"] = expires.isoformat().replace("+00:00", "Z")
        return reply_json(answer)

    async def _build(self, request: Request) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        build = self._builds.begin(requests.read(body))
        answer = {
            "build_id": build.id,
            "template_id": build.entry_id,
            "status": build.status,
            "logs_url": f"{self._address(request)}{_BUILD}/{build.id}/logs",
            **_request_id(),
        }
        return reply_json(answer, 201)

    def _status(self, build: Build) -> Reply:
        """Exactly the keys that the SDK's record has: it fails at one more."""
        over = build.status != "building"
        progress = 100 if build.status == "active" else _progress(build)
        answer: dict[str, Any] = {
            "build_id": build.id,
            "template_id": build.entry_id,
            "status": build.status,
            "progress": progress,
            "started_at": build.started_at,
            "current_step": build.current_step or None,
            "completed_at": build.completed_at or None,
            "error_message": build.error or None,
            "build_duration_ms": int(build.seconds * 1000) if over else None,
            **_request_id(),
        }
        return reply_json(answer)

    def _logs(self, request: Request, build: Build) -> Reply:
        offset = request.query("offset", "0")
        if not offset.isdecimal() or len(offset) > 12:
            raise checks.invalid("offset must be what the last answer said")
        if _EVENTS in request.headers.get(b"accept", b""):
            return Reply(_events(build, int(offset)), content_type=_EVENTS)
        over = build.status != "building"
        answer = {
            "logs": build.log[int(offset) :],
            "offset": len(build.log),
            "status": build.status,
            "complete": over,
            **_request_id(),
        }
        return reply_json(answer)

    def _delete(self, entry: Entry) -> Reply:
        if entry.image is not None and entry.image.public:
            raise ApiError(403, "FORBIDDEN", f"{entry.name} is one of the service's own")
        self._images.remove(entry)
        self._builds.cancel(entry)
        return reply_json({"id": entry.id, "status": "deleted"})

    def _found(self, name_or_id: str) -> Entry:
        entry = self._images.entry(name_or_id)
        if entry is None:
            raise ApiError(404, "TEMPLATE_NOT_FOUND", f"there is no template {name_or_id}")
        return entry

    def _found_build(self, build_or_image_id: str) -> Build:
        build = self._builds.find(build_or_image_id)
        if build is None:
            raise ApiError(404, "BUILD_NOT_FOUND", f"there is no build {build_or_image_id}")
        return build

    def _address(self, request: Request) -> str:
        """Where the client reached us, so that it reaches us there again."""
        host = request.headers.get(b"host", b"")
        if _HOST.fullmatch(host):
            return f"http://{host.decode()}"
        return f"http://{self._settings.host}:{request.port}"


def _progress(build: Build) -> int:
    return min(_PROGRESS_AT_MOST, 100 * build.steps_done // max(1, build.total_steps))


async def _events(build: Build, offset: int) -> AsyncIterator[bytes]:
    """The log as server-sent events, one a line, until the build is over."""
    while True:
        over = build.status != "building"
        lines, offset = build.log[offset:].splitlines(), len(build.log)
        yield "".join(f"data: {line}\n\n" for line in lines).encode()
        if over:
            break
        await asyncio.sleep(_EVENT_SECONDS)
    last = "".join(f"data: {line}\n" for line in build.error.splitlines() or [""])
    yield f"event: {build.status}\n{last}\n".encode()


def _request_id() -> dict[str, str]:
    return {"request_id": secrets.token_hex(8)}

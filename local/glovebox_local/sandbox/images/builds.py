"""The builds that clients asked for: admitted, queued, ended, remembered."""

from __future__ import annotations

import asyncio
import logging
import secrets

from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.images import layers
from glovebox_local.sandbox.images.build import Build
from glovebox_local.sandbox.images.catalogue import Entry, Image, Images
from glovebox_local.sandbox.images.making import Maker
from glovebox_local.sandbox.images.request import BuildRequest, stands_in
from glovebox_local.sandbox.images.site import StepError
from glovebox_local.sandbox.images.uploads import Archive, Uploads
from glovebox_local.sandbox.keeper_link import SpawnError
from glovebox_local.sandbox.settings import SandboxSettings

logger = logging.getLogger(__name__)

_MAX_KEPT = 256
_MAX_QUEUE = 64


class Builds:
    """The builds of this service, under way and over."""

    def __init__(
        self, settings: SandboxSettings, images: Images, uploads: Uploads, maker: Maker
    ) -> None:
        self._settings = settings
        self._images = images
        self._uploads = uploads
        self._maker = maker
        self._known: dict[str, Build] = {}
        self._running: dict[asyncio.Task[None], Build] = {}
        self._turns = asyncio.Semaphore(settings.max_builds)

    def find(self, build_or_image_id: str) -> Build | None:
        """A build by its id, or the last one of an image by the image's."""
        found = self._known.get(build_or_image_id)
        if found is not None:
            return found
        of_image = (b for b in reversed(self._known.values()) if b.entry_id == build_or_image_id)
        return next(of_image, None)

    def begin(self, request: BuildRequest) -> Build:
        """Start a build. Raises ``ApiError``: 400, 403, 404 or 409 for what cannot be built."""
        base = self._base(request.from_image)
        digests = {}
        for step in request.steps:
            if step.kind == "COPY":
                digest = self._uploads.digest(step.files_hash)
                if digest is None:
                    message = f"no files were uploaded as {step.files_hash}"
                    raise ApiError(400, "FILES_NOT_UPLOADED", message)
                digests[step.files_hash] = digest
        entry = self._entry(request)
        build = Build(f"bld-{secrets.token_hex(8)}", entry.id, len(request.steps))
        entry.build_id = build.id
        self._known[build.id] = build
        while len(self._known) > _MAX_KEPT:
            done = (b for b in self._known.values() if b.status != "building")
            self._known.pop(next(done, build).id)
        if base is self._images.base() and request.from_image not in ("base", base.id):
            build.say(f"FROM {request.from_image}: this machine's own system stands in for it")
        # Opened now: an upload may make room for another while this waits for its turn.
        files = {name: self._uploads.open(digest) for name, digest in digests.items()}
        if base.content is not None:
            base.content.retain()
        task = asyncio.create_task(self._build(build, entry, base, request, files))
        self._running[task] = build

        def end(_: asyncio.Task[None]) -> None:
            # Here and not in the task: one that is cancelled early never runs a line.
            del self._running[task]
            for archive in files.values():
                archive.close()
            if base.content is not None:
                base.content.release()
            if build.status == "building":
                build.end("failed", "the build was ended")
            if entry.image is None:
                entry.status, entry.updated_at = "failed", now()

        task.add_done_callback(end)
        return build

    def cancel(self, entry: Entry) -> None:
        """End the builds of an entry that is being deleted."""
        for task, build in self._running.items():
            if build.entry_id == entry.id:
                task.cancel()

    async def stop(self) -> None:
        """End every build and wait until it has ended."""
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(list(self._running))

    def _base(self, from_image: str) -> Image:
        known = self._images.find(from_image)
        if known is not None:
            if known.content and len(known.content.descriptors) >= layers.MAX_LAYERS:
                raise ApiError(400, "INVALID_REQUEST", "too many images built on one another")
            return known
        if stands_in(from_image):
            return self._images.base()
        message = (
            f"from_image {from_image} is not here: it must be an image of this service, or a plain"
            " ubuntu, debian, python or node, for which this machine's own system stands in"
        )
        raise ApiError(400, "INVALID_REQUEST", message)

    def _entry(self, request: BuildRequest) -> Entry:
        known = self._images.entry(request.name)
        if known is not None and known.image is not None and known.image.public:
            raise ApiError(409, "TEMPLATE_EXISTS", f"{request.name} is one of the service's own")
        if known is None and request.update:
            raise ApiError(404, "TEMPLATE_NOT_FOUND", f"there is no template {request.name}")
        if known is not None and any(b.entry_id == known.id for b in self._running.values()):
            raise ApiError(409, "TEMPLATE_BUILDING", f"{request.name} is being built")
        if known is not None and known.status != "failed" and not request.update:
            raise ApiError(409, "TEMPLATE_EXISTS", f"there is a template {request.name} already")
        if len(self._running) >= _MAX_QUEUE:
            raise ApiError(403, "BUILD_LIMIT", f"the limit of {_MAX_QUEUE} builds is reached")
        if known is not None and request.update:
            return known
        if known is None and len(self._images) >= self._settings.max_images:
            limit = self._settings.max_images
            message = f"the limit of {limit} templates is reached"
            raise ApiError(403, "TEMPLATE_LIMIT", message, limit=limit)
        return self._images.add(request.name)

    async def _build(
        self,
        build: Build,
        entry: Entry,
        base: Image,
        request: BuildRequest,
        files: dict[str, Archive],
    ) -> None:
        try:
            async with self._turns, asyncio.timeout(self._settings.build_seconds):
                image = await self._maker.make(build, entry, base, request, files)
        except TimeoutError:
            seconds = self._settings.build_seconds
            build.end("failed", f"the build took more than {seconds:g} seconds")
        except (StepError, SpawnError, OSError) as failure:
            build.end("failed", str(failure))
        except Exception:
            logger.exception("a build failed")
            build.end("failed", "the service failed")
        else:
            previous, entry.image = entry.image, image
            if previous is not None and previous.content is not None:
                previous.content.release()
            entry.status, entry.updated_at = "active", now()
            build.end("active")

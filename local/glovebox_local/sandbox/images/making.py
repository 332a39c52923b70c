"""Makes an image: has its steps taken, keeps what they leave, tries its start command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from weakref import WeakValueDictionary

from glovebox_local.sandbox.images import layers, starting
from glovebox_local.sandbox.images.build import Build
from glovebox_local.sandbox.images.catalogue import Entry, Image
from glovebox_local.sandbox.images.layers import Content
from glovebox_local.sandbox.images.request import BuildRequest
from glovebox_local.sandbox.images.site import Site, StepError
from glovebox_local.sandbox.images.steps import Steps, settings_of
from glovebox_local.sandbox.images.store import Store
from glovebox_local.sandbox.images.uploads import Archive
from glovebox_local.sandbox.keeper_link import Keeper
from glovebox_local.sandbox.keepers import Keepers
from glovebox_local.sandbox.recipe import HOME, IMAGE_PLACES
from glovebox_local.sandbox.settings import MIB, SandboxSettings


class Maker:
    """Makes images, and keeps the files that they share."""

    def __init__(
        self, settings: SandboxSettings, keepers: Keepers, null_fd: int, *, shared: bool
    ) -> None:
        """``shared`` says that sandboxes can see an image copy-on-write."""
        self._settings = settings
        self._keepers = keepers
        self._null_fd = null_fd
        self._shared = shared
        self._store = Store(settings.images_mb * MIB)
        # Builds of the same things wait for the first of them.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def make(
        self,
        build: Build,
        entry: Entry,
        base: Image,
        request: BuildRequest,
        files: Mapping[str, Archive],
    ) -> Image:
        """The image that a request asks for, from files that exist or are made now.

        Raises ``StepError`` and ``SpawnError``, whose messages are fit for the build's status.
        """
        digests = {files_hash: archive.digest for files_hash, archive in files.items()}
        key = request.key(base.content.key if base.content else "", digests)
        outcome = settings_of(base, request.steps)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            content = None if request.skip_cache else self._store.find(key)
            if content is not None:
                build.say("the same steps with the same files were built before")
            else:
                content = await self._run_steps(build, base, request, files, key)
            content.retain()
        try:
            image = Image(
                entry.id,
                entry.name,
                entry.name,
                f"Built from {base.name}.",
                content,
                env=outcome.env,
                workdir=outcome.workdir,
                start=request.start or base.start,
            )
            if request.start is not None:
                await self._try_start(build, image)
        except BaseException:
            content.release()
            raise
        return image

    def _steps(self, build: Build, site: Site, base: Image, files: Mapping[str, Archive]) -> Steps:
        return Steps(build, site, base, files, self._settings.build_seconds)

    async def _run_steps(
        self,
        build: Build,
        base: Image,
        request: BuildRequest,
        files: Mapping[str, Archive],
        key: str,
    ) -> layers.Content:
        size = self._store.reserve(self._settings.workspace_mb * MIB)
        try:
            if size < MIB:
                message = f"images have their {self._settings.images_mb} MiB already"
                raise StepError(message)
            if self._shared:
                content = await self._build_shared(build, base, request, files, key, size)
            else:
                content = await self._build_packed(build, base, request, files, key, size)
        finally:
            self._store.unreserve(size)
        self._store.add(content)
        return content

    async def _build_shared(
        self,
        build: Build,
        base: Image,
        request: BuildRequest,
        files: Mapping[str, Archive],
        key: str,
        size: int,
    ) -> layers.Content:
        below = base.content.descriptors if base.content else ()
        fresh = layers.new_layer(size)
        try:
            async with self._site(network=self._settings.build_network) as site:
                await site.keeper.dress(size, IMAGE_PLACES, below, fresh)
                await self._steps(build, site, base, files).take(request.steps)
            own = layers.places_with_files(fresh, IMAGE_PLACES)
            inherited = base.content.places if base.content else ()
            places = tuple(place for place in IMAGE_PLACES if place in (*own, *inherited))
            parent = base.content.retain() if base.content else None
            used = layers.used_bytes(fresh)
            return Content(key, (fresh, *below), places, used, parent)
        except BaseException:
            os.close(fresh)
            raise

    async def _build_packed(
        self,
        build: Build,
        base: Image,
        request: BuildRequest,
        files: Mapping[str, Archive],
        key: str,
        size: int,
    ) -> layers.Content:
        with tempfile.TemporaryFile(prefix="glovebox-image-") as file:
            async with self._site(network=self._settings.build_network) as site:
                if base.content is not None:
                    await base.content.put_into(site, size)
                await self._steps(build, site, base, files).take(request.steps)
                await site.pack(HOME, file.fileno(), self._settings.build_seconds)
            packed = os.fstat(file.fileno()).st_size
            return Content(key, (os.dup(file.fileno()),), (), packed)

    @contextlib.asynccontextmanager
    async def _site(self, *, network: bool) -> AsyncIterator[Site]:
        """A sandbox for a build; when this ends, nothing of it is left but what it wrote."""
        keeper: Keeper | None = None
        try:
            keeper, _ = await self._keepers.take(network=network)
            yield Site(keeper, self._settings.output_bytes, self._null_fd)
        finally:
            if keeper is not None:
                keeper.close()
                await keeper.gone.wait()

    async def _try_start(self, build: Build, image: Image) -> None:
        """Start it once as every sandbox will: an image that does not start is no image.

        Without a network, so that its ports are its own.
        """
        assert image.start is not None  # noqa: S101 - for the type checker
        build.say(f"Start: {image.start.command[:2000]}")
        async with self._site(network=False) as site:
            if image.content is not None:
                await image.content.put_into(site, self._settings.workspace_mb * MIB)
            process = await starting.start(site, image.start, image.env, image.workdir)
            process.release()

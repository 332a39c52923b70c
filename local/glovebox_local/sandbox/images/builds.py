"""Builds images: each in a sandbox of its own, bounded in time, size and number."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakValueDictionary

from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.images import layers, starting
from glovebox_local.sandbox.images.catalogue import Entry, Image, Images
from glovebox_local.sandbox.images.request import (
    BuildRequest,
    Step,
    is_in_place,
    resolved,
    stands_in,
)
from glovebox_local.sandbox.images.site import Site, StepError
from glovebox_local.sandbox.images.uploads import Uploads
from glovebox_local.sandbox.keeper_link import Keeper, SpawnError
from glovebox_local.sandbox.keepers import Keepers
from glovebox_local.sandbox.recipe import HOME, IMAGE_PLACES
from glovebox_local.sandbox.settings import MIB, SandboxSettings

logger = logging.getLogger(__name__)

_MAX_KEPT = 256
_MAX_LOG_CHARACTERS = 1024 * 1024
_MAX_QUEUE = 64
# npm's global packages go where programs of the sandbox's user are looked for.
_BUILD_ENV = {"NPM_CONFIG_PREFIX": f"{HOME}/.local", "DEBIAN_FRONTEND": "noninteractive"}
# Standard input is not a terminal and both streams read as one.
_RUN = ("bash", "-c", 'exec bash -c "$1" 2>&1', "-")

BuildStatus = Literal["building", "active", "failed"]


@dataclass(slots=True, eq=False)
class Build:
    """One build, under way or over, as its status and log tell."""

    id: str
    entry_id: str
    total_steps: int
    status: BuildStatus = "building"
    steps_done: int = 0
    current_step: str = ""
    error: str = ""
    log: str = ""
    started_at: str = field(default_factory=now)
    started: float = field(default_factory=time.monotonic)
    completed_at: str = ""
    seconds: float = 0.0

    def say(self, text: str) -> None:
        """Add to the log, which is cut when it has its size."""
        room = _MAX_LOG_CHARACTERS - len(self.log)
        if room > 0 and text:
            self.log += f"{text.rstrip()}\n"[:room]

    def end(self, status: BuildStatus, error: str = "") -> None:
        """It is over."""
        self.status, self.error = status, error
        if error:
            self.say(f"ERROR: {error}")
        self.completed_at = now()
        self.seconds = time.monotonic() - self.started


@dataclass(frozen=True, slots=True)
class _Outcome:
    env: dict[str, str]
    workdir: str


class Builds:
    """The builds of this service, and the contents that they made."""

    def __init__(
        self,
        settings: SandboxSettings,
        images: Images,
        uploads: Uploads,
        keepers: Keepers,
        null_fd: int,
        *,
        shared: bool,
    ) -> None:
        """``shared`` says that sandboxes can see an image copy-on-write."""
        self._shared = shared
        self._settings = settings
        self._images = images
        self._uploads = uploads
        self._keepers = keepers
        self._null_fd = null_fd
        self._store = layers.Store(settings.images_mb * MIB)
        self._known: dict[str, Build] = {}
        self._running: dict[asyncio.Task[None], Build] = {}
        self._turns = asyncio.Semaphore(settings.max_builds)
        # Builds of the same things wait for the first of them.
        self._keys: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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
        files = {h: (d, self._uploads.open(d)) for h, d in digests.items()}
        task = asyncio.create_task(self._build(build, entry, base, request, files))
        self._running[task] = build
        task.add_done_callback(self._forget)
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

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._running[task]

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
        files: dict[str, tuple[str, int]],
    ) -> None:
        error = "the build was ended"
        held = base.content.retain() if base.content else None
        try:
            async with self._turns, asyncio.timeout(self._settings.build_seconds):
                image = await self._make(build, entry, base, request, files)
            previous, entry.image = entry.image, image
            if previous is not None and previous.content is not None:
                previous.content.release()
            entry.status, entry.updated_at = "active", now()
            error = ""
        except TimeoutError:
            error = f"the build took more than {self._settings.build_seconds:g} seconds"
        except (StepError, SpawnError, OSError) as failure:
            error = str(failure)
        except Exception:
            logger.exception("a build failed")
            error = "the service failed"
        finally:
            for _, descriptor in files.values():
                os.close(descriptor)
            if held is not None:
                held.release()
            if error and entry.image is None:
                entry.status, entry.updated_at = "failed", now()
            build.end("failed" if error else "active", error)

    async def _make(
        self,
        build: Build,
        entry: Entry,
        base: Image,
        request: BuildRequest,
        files: dict[str, tuple[str, int]],
    ) -> Image:
        digests = {files_hash: digest for files_hash, (digest, _) in files.items()}
        key = request.key(base.content.key if base.content else "", digests)
        outcome = settings_of(base, request.steps)
        lock = self._keys.setdefault(key, asyncio.Lock())
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

    async def _run_steps(
        self,
        build: Build,
        base: Image,
        request: BuildRequest,
        files: dict[str, tuple[str, int]],
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
        files: dict[str, tuple[str, int]],
        key: str,
        size: int,
    ) -> layers.Content:
        below = base.content.descriptors if base.content else ()
        fresh = layers.new_layer(size)
        try:
            async with self._site(network=self._settings.build_network) as site:
                await site.keeper.dress(size, IMAGE_PLACES, below, fresh)
                await self._take_steps(build, site, base, request.steps, files)
            own = layers.places_with_files(fresh, IMAGE_PLACES)
            inherited = base.content.places if base.content else ()
            places = tuple(place for place in IMAGE_PLACES if place in (*own, *inherited))
            parent = base.content.retain() if base.content else None
            used = layers.used_bytes(fresh)
            return layers.Content(key, (fresh, *below), places, used, parent)
        except BaseException:
            os.close(fresh)
            raise

    async def _build_packed(
        self,
        build: Build,
        base: Image,
        request: BuildRequest,
        files: dict[str, tuple[str, int]],
        key: str,
        size: int,
    ) -> layers.Content:
        with tempfile.TemporaryFile(prefix="glovebox-image-") as file:
            async with self._site(network=self._settings.build_network) as site:
                if base.content is not None:
                    await base.content.put_into(site, size)
                await self._take_steps(build, site, base, request.steps, files)
                await site.pack(HOME, file.fileno(), self._settings.build_seconds)
            packed = os.fstat(file.fileno()).st_size
            return layers.Content(key, (os.dup(file.fileno()),), (), packed)

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

    async def _take_steps(
        self,
        build: Build,
        site: Site,
        base: Image,
        steps: tuple[Step, ...],
        files: dict[str, tuple[str, int]],
    ) -> None:
        for number, step in enumerate(steps):
            build.current_step = step.words()[:500]
            build.say(f"Step {number + 1}/{len(steps)}: {step.words()[:2000]}")
            before = settings_of(base, steps[:number])
            if step.kind == "RUN":
                argv = [*_RUN, step.args[0]]
                env = _BUILD_ENV | before.env
                seconds = self._settings.build_seconds
                code, printed = await site.run(argv, env, before.workdir, seconds)
                build.say(printed)
                if code:
                    message = f"step {number + 1} ended with exit code {code}"
                    raise StepError(message)
            elif step.kind == "COPY":
                await self._copy(build, site, step, before.workdir, files)
            elif step.kind == "WORKDIR":
                await self._make_folder(site, settings_of(base, steps[: number + 1]).workdir)
            elif step.kind == "USER":
                build.say("every sandbox runs as its one user: this changes nothing")
            build.steps_done = number + 1

    async def _copy(
        self, build: Build, site: Site, step: Step, workdir: str, files: dict[str, tuple[str, int]]
    ) -> None:
        target = resolved(step.args[1], workdir)
        self._check_place(target)
        archive = os.open(f"/proc/self/fd/{files[step.files_hash][1]}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            sources = step.args[0].split(",")
            seconds = self._settings.build_seconds
            code, printed = await site.copy(archive, sources, target, seconds)
        finally:
            os.close(archive)
        build.say(printed)
        if code:
            message = f"COPY failed: {printed[-2000:].strip()}"
            raise StepError(message)

    async def _make_folder(self, site: Site, folder: str) -> None:
        self._check_place(folder)
        argv = ["mkdir", "-p", "--", folder]
        code, printed = await site.run(argv, {}, "/", 60.0)
        if code:
            message = f"WORKDIR failed: {printed.strip()}"
            raise StepError(message)

    def _check_place(self, path: str) -> None:
        if not is_in_place(path):
            places = ", ".join(IMAGE_PLACES)
            message = f"an image's files lie below {places}, not at {path}"
            raise StepError(message)

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


def settings_of(base: Image, steps: tuple[Step, ...]) -> _Outcome:
    """Environment and working directory after these steps."""
    env, workdir = dict(base.env), base.workdir
    for step in steps:
        if step.kind == "ENV":
            env[step.args[0]] = step.args[1]
        elif step.kind == "WORKDIR":
            workdir = resolved(step.args[0], workdir).rstrip("/") or "/"
    return _Outcome(env, workdir)

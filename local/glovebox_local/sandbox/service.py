"""Puts the service together and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import uvloop
from uvicorn.config import Config

from glovebox_local.file_limit import raise_file_limit
from glovebox_local.sandbox import mounting, recipe, runtime, seccomp, sockets
from glovebox_local.sandbox.agent import Agent
from glovebox_local.sandbox.control import ControlPlane
from glovebox_local.sandbox.images import layers
from glovebox_local.sandbox.images.builds import Builds
from glovebox_local.sandbox.images.catalogue import Images
from glovebox_local.sandbox.images.making import Maker
from glovebox_local.sandbox.images.uploads import Uploads
from glovebox_local.sandbox.isolation import Isolation, IsolationError, Level, reach
from glovebox_local.sandbox.keeper_link import SpawnError
from glovebox_local.sandbox.keepers import Keepers
from glovebox_local.sandbox.listeners import Listener, Listeners
from glovebox_local.sandbox.programs import Programs
from glovebox_local.sandbox.recipe import BubblewrapMissingError
from glovebox_local.sandbox.sandboxes import Sandboxes
from glovebox_local.sandbox.settings import MIB, SandboxSettings
from glovebox_local.sandbox.spawner.plan import Plan
from glovebox_local.sandbox.templates import TemplateRoutes

# Longer than a client's pause between two requests: a connection that we close as the client sends
# is an error that the SDK does not retry.
_KEEP_ALIVE_SECONDS = 600
# Servers at the same time get user ids apart: 1024 slots each, by their process id.
_FIRST_UID = 200_000
_UIDS_PER_SERVER = 1024
_SERVERS = 4096
_PROBE = "import ssl, sqlite3"
_PROBE_SECONDS = 20.0


class ListenError(RuntimeError):
    """The port cannot be had; the message says why."""


class ProbeError(RuntimeError):
    """A first sandbox showed that none would work; the message is what it said."""


REFUSALS = (
    BubblewrapMissingError,
    IsolationError,
    ListenError,
    ProbeError,
    runtime.RuntimeUnavailableError,
    SpawnError,
    seccomp.UnsupportedMachineError,
)
"""Why a service may not start, each with a message for its user."""

Announce = Callable[[dict[str, Any]], None]


def _announce(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)


class SandboxService:
    """One running service. Build it before any thread exists: it changes this process's mounts."""

    def __init__(self, settings: SandboxSettings, required: Level) -> None:
        root = runtime.enter_private_mounts()
        self._settings = settings
        self.isolation: Isolation = reach(settings, root=root)
        self.isolation.require(required)
        self._uid_base = (
            _FIRST_UID + os.getpid() % _SERVERS * _UIDS_PER_SERVER
            if root and settings.recipe.own_uid
            else None
        )
        self._plan = self._make_plan(runtime.host_view(settings.runtime_site, private=root), root)
        self._images = Images(settings)
        self._shares_images = settings.share_images and root and layers.can_share()
        self._null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._stopping: asyncio.Event | None = None
        self._lost = False

    async def run(self, announce: Announce = _announce) -> int:
        """Serve until SIGINT, SIGTERM or ``stop``; returns the process's exit code.

        ``announce`` is called as soon as it answers, with url, isolation, not_enforced, pid and
        spawner_pid; by default it writes them to stdout as one line of JSON. Raises ``ProbeError``
        if a sandbox cannot run Python here, and ``ListenError``.
        """
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        keepers = Keepers(
            self._plan, spare=self._settings.spare_sandboxes, on_lost=self._spawner_lost
        )
        keepers.open()
        agent = Agent(self._settings, self._null_fd)
        listeners = Listeners(_protocol(agent, ws=sockets.protocol), self._settings.host)
        agent.attach(listeners)
        sandboxes = Sandboxes(
            self._settings,
            keepers,
            listeners,
            self._uid_base,
            self.isolation.groups,
            self._null_fd,
        )
        uploads = Uploads(self._settings.max_upload_bytes, self._settings.images_mb * MIB)
        maker = Maker(self._settings, keepers, self._null_fd, shared=self._shares_images)
        builds = Builds(self._settings, self._images, uploads, maker)
        templates = TemplateRoutes(self._settings, self._images, uploads, builds)
        control = ControlPlane(self._settings, self._images, sandboxes, templates, self._describe())
        front = Listeners(_protocol(control), self._settings.host)
        try:
            await self._probe(sandboxes)
            # What is there by now stays: the collector need not look at it, which takes it long
            # enough to show in the time of the one create in twenty that meets it.
            gc.collect()
            gc.freeze()
            main = await self._listen(front)
            said = {"url": main.url, **self._describe(), "pid": os.getpid()}
            announce({**said, "spawner_pid": keepers.pid})
            await self._stopping.wait()
            front.close(main)
        finally:
            await builds.stop()
            await sandboxes.stop()
            await keepers.stop(self._settings.kill_seconds)
            if self.isolation.groups is not None:
                self.isolation.groups.remove_all()
        return 1 if self._lost else 0

    def stop(self) -> None:
        """Make ``run`` return."""
        if self._stopping is not None:
            self._stopping.set()

    async def _listen(self, front: Listeners) -> Listener:
        host, port = self._settings.host, self._settings.port
        try:
            return await front.open(port)
        except OSError as error:
            message = f"cannot listen at {host}:{port}: {error.strerror}"
            raise ListenError(message) from error

    async def _probe(self, sandboxes: Sandboxes) -> None:
        image = self._images.base()
        sandbox = await sandboxes.create(image, network=False, env={}, timeout_seconds=None)
        try:
            programs = Programs(self._settings, self._null_fd)
            process, code = await programs.run(
                sandbox, ["python", "-c", _PROBE], recipe.HOME, {}, _PROBE_SECONDS
            )
        finally:
            # Wait: one that is still ending counts against those that may live.
            await sandboxes.kill(sandbox)
        if code:
            message = f"Python does not work in a sandbox: {process.stderr.kept.text().strip()}"
            raise ProbeError(message)

    def _describe(self) -> dict[str, Any]:
        return {
            "isolation": self.isolation.level,
            "not_enforced": list(self.isolation.not_enforced),
            "images": "copy-on-write" if self._shares_images else "copied",
        }

    def _spawner_lost(self) -> None:
        print("the spawner ended: the service cannot go on", file=sys.stderr, flush=True)
        self._lost = True
        self.stop()

    def _make_plan(self, view: recipe.View, root: bool) -> Plan:
        settings = self._settings
        groups = self.isolation.groups
        keeper_masks = root and _can_mask()
        return Plan(
            full=root,
            own_uid=settings.recipe.own_uid,
            clean_environment=settings.recipe.clean_environment,
            seccomp=system_call_filter(settings),
            uid_base=self._uid_base or 0,
            inside_uid=recipe.INSIDE_UID,
            bwrap=recipe.find_bwrap(),
            options={
                network: recipe.bwrap_options(
                    settings, view, network=network, masks=not keeper_masks
                )
                for network in (False, True)
            },
            masked=recipe.masked_files() if keeper_masks else (),
            memory_bytes=settings.memory_mb * MIB,
            pids=settings.pids,
            cpus=settings.cpus,
            open_files=settings.open_files,
            file_bytes=settings.workspace_mb * MIB,
            cgroups=(groups.version, groups.parents) if groups else None,
            server_pid=os.getpid(),
        )


def run(
    settings: SandboxSettings, required: Level = "no-cgroup", announce: Announce = _announce
) -> int:
    """Run a service in this process until it is told to stop; returns the exit code.

    Raises ``REFUSALS``.
    """
    # A live sandbox costs the service up to seven descriptors, and each running command two.
    raise_file_limit()
    service = SandboxService(settings, required)
    return uvloop.run(service.run(announce))


def system_call_filter(settings: SandboxSettings) -> bytes:
    """The system call filter, nothing if this machine has none and its user knows."""
    known = seccomp.missing_table() is None
    wanted = settings.recipe.seccomp and (known or not settings.without_filter)
    return seccomp.build() if wanted else b""


def _can_mask() -> bool:
    try:
        os.close(mounting.blank())
    except OSError:
        return False
    return True


def _protocol(application: Any, ws: Any = None) -> Config:
    config = Config(
        application,
        http="httptools",
        ws=ws or "none",
        ws_max_size=sockets.MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # loopback is faster than any compression
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    config.load()
    return config

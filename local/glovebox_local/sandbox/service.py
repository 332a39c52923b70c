"""Puts the service together and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from typing import Any

import uvloop
from uvicorn.config import Config

from glovebox_local.sandbox import recipe, runtime, seccomp
from glovebox_local.sandbox.agent import Agent
from glovebox_local.sandbox.agent_commands import CommandRoutes
from glovebox_local.sandbox.control import ControlPlane
from glovebox_local.sandbox.images import layers
from glovebox_local.sandbox.images.builds import Builds
from glovebox_local.sandbox.images.catalogue import Images
from glovebox_local.sandbox.images.making import Maker
from glovebox_local.sandbox.images.uploads import Uploads
from glovebox_local.sandbox.isolation import Isolation, Level, reach
from glovebox_local.sandbox.keepers import Keepers
from glovebox_local.sandbox.listeners import Listeners
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


class ProbeError(RuntimeError):
    """A first sandbox showed that none would work; the message is what it said."""


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

    async def run(self) -> int:
        """Serve until SIGINT, SIGTERM or ``stop``; returns the process's exit code.

        Announces itself as one line of JSON on stdout as soon as it answers. Raises ``ProbeError``
        if a sandbox cannot run Python here.
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
        listeners = Listeners(_protocol(agent), self._settings.host)
        agent.attach(listeners)
        sandboxes = Sandboxes(
            self._settings, keepers, listeners, self._uid_base, self._memory_kills, self._null_fd
        )
        uploads = Uploads(self._settings.max_upload_bytes, self._settings.images_mb * MIB)
        maker = Maker(self._settings, keepers, self._null_fd, shared=self._shares_images)
        builds = Builds(self._settings, self._images, uploads, maker)
        templates = TemplateRoutes(self._settings, self._images, uploads, builds)
        control = ControlPlane(self._settings, self._images, sandboxes, templates, self._describe())
        front = Listeners(_protocol(control), self._settings.host)
        try:
            await self._probe(sandboxes)
            main = await front.open(self._settings.port)
            announcement = {"url": main.url, **self._describe(), "pid": os.getpid()}
            announcement["spawner_pid"] = keepers.pid
            print(json.dumps(announcement), flush=True)
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

    async def _probe(self, sandboxes: Sandboxes) -> None:
        image = self._images.base()
        sandbox = await sandboxes.create(image, network=False, env={}, timeout_seconds=None)
        try:
            commands = CommandRoutes(self._settings, self._null_fd)
            process, code = await commands.run(
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

    def _memory_kills(self, slot: int) -> int:
        groups = self.isolation.groups
        return groups.out_of_memory_kills(f"sandbox-{slot}") if groups else 0

    def _make_plan(self, view: recipe.View, root: bool) -> Plan:
        settings = self._settings
        groups = self.isolation.groups
        return Plan(
            full=root,
            own_uid=settings.recipe.own_uid,
            seccomp=seccomp.build() if settings.recipe.seccomp else b"",
            uid_base=self._uid_base or 0,
            inside_uid=recipe.INSIDE_UID,
            bwrap=recipe.find_bwrap(),
            options={
                network: recipe.bwrap_options(settings, view, network=network)
                for network in (False, True)
            },
            memory_bytes=settings.memory_mb * MIB,
            pids=settings.pids,
            cpus=settings.cpus,
            open_files=settings.open_files,
            file_bytes=settings.workspace_mb * MIB,
            cgroups=(groups.version, groups.parents) if groups else None,
            server_pid=os.getpid(),
        )


def run(settings: SandboxSettings, required: Level = "no-cgroup") -> int:
    """Run a service in this process until it is told to stop; returns the exit code."""
    _raise_file_limit()
    service = SandboxService(settings, required)
    return uvloop.run(service.run())


def _protocol(application: Any) -> Config:
    config = Config(
        application,
        http="httptools",
        ws="none",
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


def _raise_file_limit() -> None:
    """A live sandbox costs the service five descriptors, and each running command two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

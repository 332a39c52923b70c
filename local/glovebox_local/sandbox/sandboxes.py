"""The sandboxes that live: made, found, timed and killed here."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from glovebox_local.sandbox import process_table
from glovebox_local.sandbox.background import BackgroundProcess
from glovebox_local.sandbox.cgroups import Cgroups, sandbox_name
from glovebox_local.sandbox.counters import Counters
from glovebox_local.sandbox.files import SandboxFiles
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.images import starting
from glovebox_local.sandbox.images.catalogue import Image
from glovebox_local.sandbox.images.site import Site, StepError
from glovebox_local.sandbox.keeper_link import Keeper, SpawnError
from glovebox_local.sandbox.keepers import Keepers
from glovebox_local.sandbox.limits import LimitWatch
from glovebox_local.sandbox.listeners import Listener, Listeners
from glovebox_local.sandbox.processes import Process
from glovebox_local.sandbox.sessions import SessionSlot
from glovebox_local.sandbox.settings import MIB, SandboxSettings
from glovebox_local.sandbox.states import RUNNING, States

# Refreshing leaves earlier tokens valid, as with the hosted service's signed ones: two clients may
# share a sandbox. Bounded, since anyone with the key may refresh as often as they like.
_MAX_TOKENS = 16
# Commands that ended and left something that still holds their output; the oldest is cut off.
_MAX_LINGERING = 32
_MAX_BACKGROUND = 256


class CapacityError(Exception):
    """As many sandboxes live as may."""


@dataclass(slots=True)
class Token:
    """What opens a sandbox's agent, and until when."""

    value: str
    expires_at: datetime


@dataclass(slots=True, eq=False)
class Sandbox:
    """One live sandbox: how to reach it, what was set in it, and when it ends."""

    id: str
    number: int
    image: Image
    network: bool
    keeper: Keeper
    files: SandboxFiles
    listener: Listener
    env: dict[str, str]
    created_at: datetime
    region: str = "local"
    timeout_seconds: int | None = None
    expires_at: datetime | None = None
    tokens: deque[Token] = field(default_factory=lambda: deque(maxlen=_MAX_TOKENS))
    background: dict[str, BackgroundProcess] = field(default_factory=dict)
    python: SessionSlot = field(default_factory=SessionSlot)
    counters: Counters = field(default_factory=Counters)
    lingering: deque[Process] = field(default_factory=deque)
    limits: LimitWatch = field(default_factory=LimitWatch)
    first_pid: int = 0
    state: str = RUNNING
    moving: asyncio.Lock = field(default_factory=asyncio.Lock)
    timer: asyncio.TimerHandle | None = None
    end_reason: str | None = None

    def admits(self, token: bytes) -> bool:
        """Whether this is one of its valid tokens, in a time that tells nothing about them."""
        now = datetime.now(UTC)
        admitted = False
        for known in self.tokens:
            same = hmac.compare_digest(known.value.encode(), token)
            admitted |= same and now < known.expires_at
        return admitted

    def require_running(self) -> None:
        """Raise ``ApiError`` 409 if it is paused or stopped: nobody in it could do anything."""
        if self.state != RUNNING:
            code = f"SANDBOX_{self.state.upper()}"
            raise ApiError(409, code, f"the sandbox is {self.state}", state=self.state)

    def linger(self, process: Process) -> None:
        """Keep emptying the streams of a command that ended: a daemon may write to them."""
        self.lingering.append(process)
        if len(self.lingering) > _MAX_LINGERING:
            self.lingering.popleft().release()

    def remember(self, process_id: str, process: BackgroundProcess) -> None:
        """Keep a background command's record; the oldest that ended makes room."""
        self.background[process_id] = process
        if len(self.background) > _MAX_BACKGROUND:
            ended = (key for key, known in self.background.items() if not known.running)
            oldest = next(ended, next(iter(self.background)))
            self.background.pop(oldest).release()


class Sandboxes:
    """All live sandboxes of this service."""

    def __init__(
        self,
        settings: SandboxSettings,
        keepers: Keepers,
        listeners: Listeners,
        uid_base: int | None,
        groups: Cgroups | None,
        null_fd: int,
    ) -> None:
        """``uid_base`` is the host's user id of slot 0's sandbox, None if all share ours.

        ``groups`` are the sandboxes' control groups, if there are any.
        """
        self._settings = settings
        self._keepers = keepers
        self._listeners = listeners
        self._alive: dict[str, Sandbox] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._making = 0
        self._made = 0
        self._uid_base = uid_base
        self._groups = groups
        self._null_fd = null_fd
        self.states = States(groups)

    def __len__(self) -> int:
        return len(self._alive)

    @property
    def live(self) -> int:
        """How many live or are being made."""
        return len(self._alive) + self._making

    def all(self) -> Iterable[Sandbox]:
        """Every live sandbox, oldest first."""
        return self._alive.values()

    def find(self, sandbox_id: str) -> Sandbox | None:
        """A live sandbox by its id."""
        return self._alive.get(sandbox_id)

    async def create(
        self, image: Image, *, network: bool, env: dict[str, str], timeout_seconds: int | None
    ) -> Sandbox:
        """Make a sandbox; when this returns it is ready and its agent answers.

        Raises ``CapacityError`` when ``max_sandboxes`` live (or are being made or killed), and
        ``SpawnError`` if it cannot be made.
        """
        if self.live + len(self._ending) >= self._settings.max_sandboxes:
            raise CapacityError
        self._making += 1
        if image.content is not None:
            image.content.retain()  # the image may be deleted meanwhile
        try:
            sandbox = await self._make(image, network=network, env=env)
            await self._start(sandbox)
        finally:
            if image.content is not None:
                image.content.release()
            self._making -= 1
            self._keepers.refill(network=network)
        self._alive[sandbox.id] = sandbox
        self._listeners.assign(sandbox.listener, sandbox)
        sandbox.keeper.on_death = partial(self._begin_end, sandbox, "died")
        self.issue_token(sandbox)
        if timeout_seconds is not None:
            self.set_timeout(sandbox, timeout_seconds)
        return sandbox

    async def _make(self, image: Image, *, network: bool, env: dict[str, str]) -> Sandbox:
        listener = await self._listeners.open()
        keeper: Keeper | None = None
        try:
            async with asyncio.timeout(self._settings.create_seconds):
                keeper, first_pid = await self._keepers.take(network=network)
            await self._dress(keeper, image)
            uid = None if self._uid_base is None else self._uid_base + keeper.slot
            files = SandboxFiles(first_pid, uid)
        except (SpawnError, OSError) as error:
            self._listeners.close(listener)
            if keeper is not None:
                keeper.close()
            message = f"the sandbox could not be made: {str(error) or 'it took too long'}"
            raise SpawnError(message) from error
        self._made += 1
        return Sandbox(
            id=f"sbx-{secrets.token_hex(10)}",
            number=self._made,
            image=image,
            network=network,
            keeper=keeper,
            files=files,
            listener=listener,
            env={**image.env, **env} if image.env else env,
            created_at=datetime.now(UTC),
            limits=self._watch(keeper, files),
            first_pid=first_pid,
        )

    def _watch(self, keeper: Keeper, files: SandboxFiles) -> LimitWatch:
        groups = self._groups
        counters = groups.counter_files(sandbox_name(keeper.slot)) if groups is not None else ()
        return LimitWatch(counters, files.folders)

    async def _dress(self, keeper: Keeper, image: Image) -> None:
        """Give a sandbox that is made its image's files."""
        if image.content is not None:
            site = Site(keeper, self._settings.output_bytes, self._null_fd)
            await image.content.put_into(site, self._settings.workspace_mb * MIB)

    async def _start(self, sandbox: Sandbox) -> None:
        """Run the image's start command, and wait until it says that it is ready."""
        image = sandbox.image
        if image.start is None:
            return
        site = Site(sandbox.keeper, self._settings.output_bytes, self._null_fd)
        try:
            process = await starting.start(site, image.start, sandbox.env, image.workdir)
            if not sandbox.keeper.is_open:
                message = "the sandbox ended with its start command"
                raise StepError(message)
        except BaseException as error:
            sandbox.keeper.close()
            sandbox.files.close()
            self._listeners.close(sandbox.listener)
            if isinstance(error, StepError):
                raise SpawnError(str(error)) from error
            raise
        command = image.start.command
        record = BackgroundProcess(
            process,
            kind="cmd",
            name="start command",
            language="command",
            command=command,
            session=process_table.inner_pid(process.host_pid),
        )
        sandbox.remember(record.id, record)

    def issue_token(self, sandbox: Sandbox) -> Token:
        """A new token for the sandbox's agent; earlier ones stay valid until they expire."""
        expires_at = datetime.now(UTC) + timedelta(seconds=self._settings.token_seconds)
        token = Token(secrets.token_urlsafe(32), expires_at)
        sandbox.tokens.append(token)
        return token

    def set_timeout(self, sandbox: Sandbox, timeout_seconds: int) -> None:
        """End the sandbox this long from now, in place of any earlier decision."""
        if sandbox.timer is not None:
            sandbox.timer.cancel()
        loop = asyncio.get_running_loop()
        sandbox.timer = loop.call_later(timeout_seconds, self._begin_end, sandbox, "expired")
        sandbox.timeout_seconds = timeout_seconds
        sandbox.expires_at = datetime.now(UTC) + timedelta(seconds=timeout_seconds)

    async def kill(self, sandbox: Sandbox) -> None:
        """End a sandbox and wait until nothing of it is left (``kill_seconds`` at most)."""
        task = self.end(sandbox)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.kill_seconds):
                await asyncio.shield(task)

    def end(self, sandbox: Sandbox, reason: str = "killed") -> asyncio.Task[None]:
        """Begin to end a sandbox: from now on nobody finds it, and it is being killed.

        Whoever still waits for something in it is told the reason.
        """
        if sandbox.id not in self._ending:
            self._alive.pop(sandbox.id, None)
            if reason == "died" and "oom" in sandbox.limits.hit_ever():
                reason = "oom"
            sandbox.end_reason = reason
            self._ending[sandbox.id] = asyncio.create_task(self._end(sandbox))
        return self._ending[sandbox.id]

    def _begin_end(self, sandbox: Sandbox, reason: str) -> None:
        self.end(sandbox, reason)

    async def _end(self, sandbox: Sandbox) -> None:
        if sandbox.timer is not None:
            sandbox.timer.cancel()
        clean = sandbox.state == RUNNING and not sandbox.limits.hit_ever()
        self._keepers.end(sandbox.keeper, clean=clean)
        self.states.release(sandbox)
        sandbox.files.close()
        sandbox.limits.close()
        for record in sandbox.background.values():
            record.release()
        for process in sandbox.lingering:
            process.release()
        try:
            await sandbox.keeper.gone.wait()
            self._listeners.close(sandbox.listener)
        finally:
            del self._ending[sandbox.id]

    async def stop(self) -> None:
        """End all of them; the keepers' own stop waits for the rest."""
        for sandbox in list(self._alive.values()):
            self.end(sandbox)
        started = time.monotonic()
        while self._ending and time.monotonic() - started < self._settings.kill_seconds:
            await asyncio.wait(list(self._ending.values()), timeout=1)

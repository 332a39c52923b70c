"""The server's link to one keeper: one sandbox, and the processes started in it."""

from __future__ import annotations

import _socket
import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from glovebox_local.sandbox import wire

ExitReport = Callable[[int], None]


class SpawnError(Exception):
    """The sandbox, or a process in it, could not be made; the message says why."""


class NotStartedError(SpawnError):
    """A program never ran: the step that failed (``enter``, ``chdir``, ``exec``) and errno."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number)}")
        self.step = step
        self.number = number


# The words of the packets that tell of one process in the sandbox.
_OF_PROCESSES = ("started", "unstarted", "exited")


class Keeper:
    """One keeper process: makes one sandbox, starts processes in it, dies with it."""

    def __init__(
        self, slot: int, pid: int, end: _socket.socket, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.slot = slot
        self.pid = pid
        self.gone = asyncio.Event()
        """Set when nothing of the sandbox is left: no process, no group."""
        self.on_death: Callable[[], None] = lambda: None
        """Called when the sandbox ends without being told to."""
        self._end = end
        self._loop = loop
        self._ready: asyncio.Future[None] = loop.create_future()
        self._made: asyncio.Future[int] = loop.create_future()
        self._dressed: asyncio.Future[int] = loop.create_future()
        self._starting: dict[int, asyncio.Future[int]] = {}
        self._signalled: asyncio.Future[int] | None = None
        self._exits: dict[int, ExitReport] = {}
        self._unwanted: set[int] = set()  # being started for somebody who has gone
        self._next_tag = 0
        self._open = True
        self._closed = False
        self._on_ended: Callable[[], None] | None = None
        self.lives = 1
        """Sandboxes that the process behind this has made, this one's included."""
        end.setblocking(False)
        loop.add_reader(end.fileno(), self._read)

    @property
    def is_open(self) -> bool:
        """Whether it still answers: its sandbox lives, as far as is known."""
        return self._open

    async def ready(self) -> None:
        """Wait until the keeper is in its groups. Raises ``SpawnError`` if it cannot be."""
        await asyncio.shield(self._ready)

    async def make(self, *, network: bool) -> int:
        """Make the sandbox; returns the (host's) id of its first process.

        Raises ``SpawnError``.
        """
        self._send(("make", network))
        return await self._made

    async def dress(
        self, size_bytes: int, places: tuple[str, ...], layers: tuple[int, ...], fresh: int | None
    ) -> None:
        """Put an image's files over the sandbox's own folders ``places``, before its first use.

        ``layers`` are descriptors of file systems, the uppermost first. What the sandbox changes
        goes to a new file system of ``size_bytes``, or to the empty one that ``fresh`` names.
        Raises ``SpawnError`` if this kernel, or this user, cannot.
        """
        given = layers if fresh is None else (*layers, fresh)
        self._send(("dress", size_bytes, places, fresh is not None), given)
        await self._dressed

    async def start(
        self,
        argv: list[str],
        environment: dict[str, str],
        directory: str,
        standard: tuple[int, int, int],
        on_exit: ExitReport,
    ) -> tuple[int, int]:
        """Start a program in the sandbox; returns (tag, host's process id).

        ``on_exit`` gets the wait status, or -1 if the sandbox ended first. Raises
        ``NotStartedError`` if the program cannot run, ``SpawnError`` if the sandbox is gone.
        """
        tag = self._next_tag
        self._next_tag += 1
        started: asyncio.Future[int] = self._loop.create_future()
        self._starting[tag] = started
        self._exits[tag] = on_exit
        try:
            self._send(("start", tag, argv, environment, directory), standard)
            return tag, await started
        except asyncio.CancelledError:
            self._exits.pop(tag, None)
            if started.done() and not started.cancelled():
                self.signal(tag, int(signal.SIGKILL))
            else:
                self._unwanted.add(tag)
            raise
        except BaseException:
            self._exits.pop(tag, None)
            raise
        finally:
            self._starting.pop(tag, None)

    def signal(self, tag: int, number: int) -> None:
        """Send a signal to a process's whole group, if the process still runs."""
        with contextlib.suppress(SpawnError):
            self._send(("signal", tag, number))

    async def signal_everyone(self, number: int) -> bool:
        """Send a signal to all processes of the sandbox but its first, and wait until they have it.

        One call at a time. False if the keeper could not. Raises ``SpawnError`` if it is gone.
        """
        self._signalled = self._loop.create_future()
        self._send(("everyone", int(number)))
        return await self._signalled == 0

    def close(self) -> None:
        """Kill the sandbox and everything in it; ``gone`` tells when that is done."""
        self._open = False
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._end.fileno())
            self._end.close()
            self._fail(SpawnError("the sandbox is gone"))

    def end_sandbox(self, on_ended: Callable[[], None]) -> None:
        """Kill the sandbox and everything in it, and keep the keeper for another.

        ``on_ended`` is called when nothing of the sandbox is left; ``successor`` may be taken then.
        """
        try:
            self._send(("again",))
        except SpawnError:
            self.close()
            return
        self._open = False
        self._on_ended = on_ended
        self._fail(SpawnError("the sandbox is gone"))

    def successor(self) -> Keeper:
        """The same keeper for its next sandbox; this object is done with."""
        self._closed = True
        self._loop.remove_reader(self._end.fileno())
        fresh = Keeper(self.slot, self.pid, self._end, self._loop)
        fresh._ready.set_result(None)
        fresh.lives = self.lives + 1
        return fresh

    def _send(self, packet: wire.Packet, fds: tuple[int, ...] = ()) -> None:
        if not self._open:
            message = "the sandbox is gone"
            raise SpawnError(message)
        try:
            wire.send(self._end, packet, fds)
        except (wire.Closed, BlockingIOError) as error:
            message = "the sandbox's keeper does not answer"
            raise SpawnError(message) from error

    def _read(self) -> None:
        try:
            while not self._closed:
                self._heed(wire.receive(self._end)[0])
        except BlockingIOError:
            pass
        except wire.Closed:
            self._died()

    def _heed(self, packet: wire.Packet) -> None:
        if packet[0] in _OF_PROCESSES:
            self._heed_process(packet)
            return
        match packet:
            case ("ready",):
                if not self._ready.done():
                    self._ready.set_result(None)
            case ("made", int(pid)):
                _settle(self._made, pid)
            case ("dressed",):
                _settle(self._dressed, 0)
            case ("undressed", str(text)) if not self._dressed.done():
                self._dressed.set_exception(SpawnError(text))
            case ("failed", str(text)):
                self._fail(SpawnError(text))
            case ("signalled", int(code)) if self._signalled is not None:
                _settle(self._signalled, code)
            case ("died",) if self._on_ended is None:
                self._died()
            case ("ended",) if self._on_ended is not None:
                self._on_ended()

    def _heed_process(self, packet: wire.Packet) -> None:
        match packet:
            case ("started", int(tag), int(pid)) if tag in self._starting:
                _settle(self._starting[tag], pid)
            case ("unstarted", int(tag), str(step), int(number)) if tag in self._starting:
                if not self._starting[tag].done():
                    self._starting[tag].set_exception(NotStartedError(step, number))
            case ("started" | "unstarted", int(tag), *_) if tag in self._unwanted:
                self._unwanted.discard(tag)
                self.signal(tag, int(signal.SIGKILL))
            case ("exited", int(tag), int(status)) if tag in self._exits:
                self._exits.pop(tag)(status)

    def _died(self) -> None:
        self.close()
        self.on_death()

    def _fail(self, error: SpawnError) -> None:
        awaited: list[asyncio.Future[None] | asyncio.Future[int]]
        awaited = [self._ready, self._made, self._dressed, *self._starting.values()]
        if self._signalled is not None:
            awaited.append(self._signalled)
        for future in awaited:
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody may be waiting: not worth a warning
        exits, self._exits = self._exits, {}
        for on_exit in exits.values():
            on_exit(-1)


def _settle(future: asyncio.Future[int], value: int) -> None:
    if not future.done():
        future.set_result(value)

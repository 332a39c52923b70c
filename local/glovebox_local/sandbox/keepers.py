"""The server's side of the spawner: it asks for keepers, and some sandboxes always stand ready.

A spare sandbox is made like any other and nobody was in it before; only its making is over already
when it is asked for.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import subprocess
from collections import deque
from collections.abc import Callable
from functools import partial

from glovebox_local.sandbox import wire
from glovebox_local.sandbox.keeper_link import Keeper, SpawnError
from glovebox_local.sandbox.spawner.launch import launch
from glovebox_local.sandbox.spawner.plan import Plan

_TRIES = 3
# A keeper without a sandbox is some 3 MB; beyond these it is cheaper to fork another when needed.
_MAX_IDLE = 8
_IDLE_SECONDS = 2.0
# Groups keep what they counted; and whatever a keeper might gather over the time ends with it.
_MAX_LIVES = 100

Made = tuple[Keeper, int]
"""A keeper whose sandbox is made, and the host's id of the sandbox's first process."""


class Keepers:
    """The spawner process, its keepers, and ``spare`` sandboxes of each kind in use."""

    def __init__(self, plan: Plan, *, spare: int, on_lost: Callable[[], None]) -> None:
        """``on_lost`` is called when the spawner ends by itself."""
        self._plan = plan
        self._spare = spare
        self._on_lost = on_lost
        self._alive: dict[int, Keeper] = {}
        self._asked: dict[int, asyncio.Future[Keeper]] = {}
        self._ready: dict[bool, deque[asyncio.Task[Made]]] = {False: deque(), True: deque()}
        self._idle: list[Keeper] = []
        # One after the other, as far as the processors allow: at the same time they would all be
        # ready as late as the last.
        self._places = asyncio.Semaphore(len(os.sched_getaffinity(0)) + 1)
        self._free_slots: list[int] = []
        self._slots_made = 0
        self._stopping = False

    @property
    def pid(self) -> int:
        """The spawner's process id."""
        return self._process.pid

    def open(self) -> None:
        """Start the spawner. Needs a running loop."""
        self._loop = asyncio.get_running_loop()
        self._process, self._end = launch(self._plan)
        self._end.setblocking(False)
        self._loop.add_reader(self._end.fileno(), self._read)

    async def take(self, *, network: bool) -> Made:
        """A sandbox of this kind that nobody had before. Raises ``SpawnError``."""
        line = self._ready[network]
        for tries_left in reversed(range(_TRIES)):
            if not line:
                self._prepare(network)
            try:
                keeper, first_pid = await line.popleft()
            except SpawnError:
                if not tries_left:
                    raise
            else:
                if keeper.is_open:
                    return keeper, first_pid
        message = "sandboxes end as soon as they are made"
        raise SpawnError(message)

    def end(self, keeper: Keeper, *, clean: bool) -> None:
        """Kill a keeper's sandbox; ``keeper.gone`` tells when nothing of it is left.

        The keeper of a sandbox that met none of its limits (``clean``) makes another one later: it
        was never in the sandbox, and a third of a sandbox's making is that of its keeper.
        """
        wanted = len(self._idle) < _MAX_IDLE and keeper.lives < _MAX_LIVES
        if clean and wanted and self._plan.full and not self._stopping:
            keeper.end_sandbox(partial(self._renew, keeper))
        else:
            keeper.close()

    def _renew(self, keeper: Keeper) -> None:
        fresh = self._alive[keeper.slot] = keeper.successor()
        keeper.gone.set()
        if self._stopping:
            fresh.close()
            return
        self._idle.append(fresh)
        self._loop.call_later(_IDLE_SECONDS, self._let_go, fresh)

    def _let_go(self, keeper: Keeper) -> None:
        """Nobody wanted another sandbox: what it holds is given back."""
        if keeper in self._idle:
            self._idle.remove(keeper)
            keeper.close()

    def refill(self, *, network: bool) -> None:
        """Make sandboxes of this kind until ``spare`` are ready; after the hurry, not within it."""
        while len(self._ready[network]) < self._spare and not self._stopping:
            self._prepare(network)

    async def stop(self, patience_seconds: float) -> None:
        """Kill all sandboxes and end the spawner; returns when nothing is left."""
        self._stopping = True
        for keeper in list(self._alive.values()):
            keeper.close()
        self._loop.remove_reader(self._end.fileno())
        self._end.close()
        for preparing in (*self._ready[False], *self._ready[True]):
            preparing.cancel()
        try:
            await asyncio.to_thread(self._process.wait, patience_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _prepare(self, network: bool) -> None:
        task = asyncio.create_task(self._make(network))
        # Perhaps nobody ever takes it: its failure is then nobody's news.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._ready[network].append(task)

    async def _make(self, network: bool) -> Made:
        async with self._places:
            keeper = await self._keeper()
            try:
                await keeper.ready()
                return keeper, await keeper.make(network=network)
            except BaseException:
                keeper.close()
                raise

    async def _keeper(self) -> Keeper:
        while self._idle:
            keeper = self._idle.pop()
            if keeper.is_open:
                return keeper
        return await self._ask()

    async def _ask(self) -> Keeper:
        slot = heapq.heappop(self._free_slots) if self._free_slots else self._slots_made
        self._slots_made = max(self._slots_made, slot + 1)
        self._asked[slot] = self._loop.create_future()
        try:
            wire.send(self._end, ("keeper", slot))
        except (wire.Closed, BlockingIOError, OSError) as error:
            self._asked.pop(slot)
            heapq.heappush(self._free_slots, slot)
            message = f"the spawner does not answer: {error}"
            raise SpawnError(message) from error
        return await self._asked[slot]

    def _read(self) -> None:
        try:
            while True:
                self._heed(*wire.receive(self._end))
        except BlockingIOError:
            pass
        except wire.Closed:
            self._lose()

    def _lose(self) -> None:
        self._loop.remove_reader(self._end.fileno())
        for coming in self._asked.values():
            if not coming.done():
                coming.set_exception(SpawnError("the spawner ended"))
        for keeper in self._alive.values():
            keeper.close()
            keeper.gone.set()  # the kernel kills a keeper with its spawner
        self._on_lost()

    def _heed(self, packet: wire.Packet, fds: list[int]) -> None:
        match packet:
            case ("keeper", int(slot), int(pid)):
                keeper = Keeper(slot, pid, wire.adopt(fds.pop()), self._loop)
                self._alive[slot] = keeper
                coming = self._asked.pop(slot)
                # Whoever asked may have been cancelled meanwhile.
                keeper.close() if coming.done() else coming.set_result(keeper)
            case ("refused", int(slot), str(text)):
                coming = self._asked.pop(slot)
                if not coming.done():
                    coming.set_exception(SpawnError(text))
                heapq.heappush(self._free_slots, slot)
            case ("gone", int(slot)):
                keeper = self._alive.pop(slot)
                keeper.close()
                keeper.gone.set()
                heapq.heappush(self._free_slots, slot)
        for descriptor in fds:
            os.close(descriptor)

"""The server's side of the spawner: it asks for keepers, and some always wait to be taken."""

from __future__ import annotations

import asyncio
import heapq
import os
import subprocess
from collections import deque
from collections.abc import Callable

from glovebox_local.sandbox import wire
from glovebox_local.sandbox.keeper_link import Keeper, SpawnError
from glovebox_local.sandbox.spawner.launch import launch
from glovebox_local.sandbox.spawner.plan import Plan

_TRIES = 3


class Keepers:
    """The spawner process and its keepers, of which ``spare`` always wait ready."""

    def __init__(self, plan: Plan, *, spare: int, on_lost: Callable[[], None]) -> None:
        self._plan = plan
        self._spare = spare
        self._on_lost = on_lost
        self._alive: dict[int, Keeper] = {}
        self._asked: dict[int, asyncio.Future[Keeper]] = {}
        self._line: deque[asyncio.Future[Keeper]] = deque()
        self._free_slots: list[int] = []
        self._slots_made = 0

    @property
    def pid(self) -> int:
        """The spawner's process id."""
        return self._process.pid

    def open(self) -> None:
        """Start the spawner and the first spare keepers. Needs a running loop."""
        self._loop = asyncio.get_running_loop()
        self._process, self._end = launch(self._plan)
        self._end.setblocking(False)
        self._loop.add_reader(self._end.fileno(), self._read)
        self.refill()

    async def take(self) -> Keeper:
        """A keeper that is ready; ``refill`` replaces it. Raises ``SpawnError``."""
        for tries_left in reversed(range(_TRIES)):
            try:
                if not self._line:
                    self._ask()
                keeper = await self._line.popleft()
                await keeper.ready()
            except SpawnError:
                if not tries_left:
                    raise
            else:
                return keeper
        raise AssertionError

    def refill(self) -> None:
        """Ask for keepers until ``spare`` wait or come; after the hurry, not within it."""
        while len(self._line) < self._spare:
            self._ask()

    async def stop(self, patience_seconds: float) -> None:
        """Kill all sandboxes and end the spawner; returns when nothing is left."""
        for keeper in list(self._alive.values()):
            keeper.close()
        self._loop.remove_reader(self._end.fileno())
        self._end.close()
        try:
            await asyncio.to_thread(self._process.wait, patience_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self) -> None:
        slot = heapq.heappop(self._free_slots) if self._free_slots else self._slots_made
        self._slots_made = max(self._slots_made, slot + 1)
        coming: asyncio.Future[Keeper] = self._loop.create_future()
        self._line.append(coming)
        try:
            wire.send(self._end, ("keeper", slot))
        except (wire.Closed, BlockingIOError) as error:
            _refuse(coming, f"the spawner does not answer: {error}")
            heapq.heappush(self._free_slots, slot)
        else:
            self._asked[slot] = coming

    def _read(self) -> None:
        try:
            while True:
                self._heed(*wire.receive(self._end))
        except BlockingIOError:
            pass
        except wire.Closed:
            self._loop.remove_reader(self._end.fileno())
            self._on_lost()

    def _heed(self, packet: wire.Packet, fds: list[int]) -> None:
        match packet:
            case ("keeper", int(slot), int(_)):
                keeper = Keeper(slot, wire.adopt(fds.pop()), self._loop)
                self._alive[slot] = keeper
                self._asked.pop(slot).set_result(keeper)
            case ("refused", int(slot), str(text)):
                _refuse(self._asked.pop(slot), text)
                heapq.heappush(self._free_slots, slot)
            case ("gone", int(slot)):
                keeper = self._alive.pop(slot)
                keeper.close()
                keeper.gone.set()
                heapq.heappush(self._free_slots, slot)
        for descriptor in fds:
            os.close(descriptor)


def _refuse(coming: asyncio.Future[Keeper], text: str) -> None:
    coming.set_exception(SpawnError(text))
    coming.exception()  # perhaps nobody waits for it yet: not worth a warning

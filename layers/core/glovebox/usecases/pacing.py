"""Sandboxes that are created in turn: as fast, and as many at once, as the stack allows."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from glovebox.domain.errors import SandboxError, SandboxUnavailable, StoreConflict
from glovebox.domain.pacing import (
    FREE_INTERVAL_SECONDS,
    LONGEST_WAIT_SECONDS,
    SAVED_SECONDS,
    Demand,
    Permits,
)
from glovebox.ports import Clock, Pace, Sandbox, Sandboxes, SandboxFacts, SandboxRequest
from glovebox.usecases.creations import CreationTally

PERMITS_AT_ONCE = 10
"""Permits that one write takes at most, and so what a crash of their taker wastes."""
LOOK_SECONDS = 0.5
"""How often one that waits looks whether its run was stopped, or a place is free."""
PLACE_SECONDS = 5.0
"""How often one that waits for a place of another launcher asks for it."""
COME_AGAIN_SECONDS = 15.0
"""When to come again where no place was free in time."""
BUSY_SECONDS = 1.0
"""When to come again where too many write at once."""


def _never() -> bool:
    return False


@dataclass
class PacedSandboxes:
    """Implements `ports.Sandboxes` over another one: a creation waits for its permit. Thread-safe.

    Stands for one owner: a batch, or a planner. Its places are given back as soon as it has no
    sandbox, waits for none and expects none; `close` does so in any case.
    """

    sandboxes: Sandboxes
    pace: Pace
    clock: Clock
    owner: str
    wanted: int = 1
    """Sandboxes at once that it could use."""
    expected: int = 0
    """Creations that it has before it."""
    stopped: Callable[[], bool] = _never
    """Asked while a creation waits and just before it: then nothing is created any more."""
    patience: Callable[[], float] = lambda: LONGEST_WAIT_SECONDS
    """Seconds that a creation may wait at most, asked when it begins to wait."""
    tally: CreationTally = field(default_factory=CreationTally)
    """Told of every creation."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _live: set[str] = field(default_factory=set)
    _starting: int = 0
    _waiting: int = 0
    _created: int = 0
    _holds: bool = False
    """Whether it may have places or permits."""
    _given: Permits | None = None
    """The last permits."""
    _due: deque[float] = field(default_factory=deque)
    """When those that are left may be used, on the monotonic clock."""
    _ahead: int = PERMITS_AT_ONCE
    """Permits to take at once: fewer where some grew old unused."""
    _wasted: bool = False
    """Whether one of the last permits grew old."""
    _ask_at: float = float("-inf")
    _slowed_at: float = float("-inf")

    def create(self, request: SandboxRequest) -> Sandbox:
        """Create a sandbox in turn.

        Raises SandboxUnavailable with `asked` False where the run was stopped, or where the permit
        is further ahead than the patience goes: then `retry_after_seconds` says how far.
        """
        wished_at = self.clock.monotonic()
        try:
            self._await_permit()
            try:
                sandbox = self._create(request)
                self.tally.created(self.clock.monotonic() - wished_at)
                return sandbox
            finally:
                with self._lock:
                    self._starting -= 1
        finally:
            self._rest()

    def attach(self, sandbox_id: str) -> Sandbox:
        """Go on with a sandbox that somebody else created; it takes a place and no permit."""
        sandbox = self.sandboxes.attach(sandbox_id)
        with self._lock:
            self._live.add(sandbox_id)
            self._holds = True
        return sandbox

    def kill(self, sandbox_id: str) -> None:
        """End a sandbox. Its place is free even where that fails: its TTL is near."""
        try:
            self.sandboxes.kill(sandbox_id)
        finally:
            with self._lock:
                known = sandbox_id in self._live
                self._live.discard(sandbox_id)
            if known:
                self._rest()

    def list(self) -> Iterator[SandboxFacts]:
        """Every sandbox of the account once, ours and others'."""
        return self.sandboxes.list()

    def close(self) -> None:
        """Give back the unused permits, and the places but for the sandboxes that live on."""
        with self._lock:
            if not self._holds:
                return
            now = self.clock.monotonic()
            unused = sum(due > now for due in self._due)
            given, self._given, self._holds = self._given, None, False
            self._due.clear()
            self._ask_at = float("-inf")
            try:
                self.pace.leave(self.owner, live=len(self._live), unused=unused, given=given)
            except StoreConflict:
                return  # the lease ends by itself

    def __enter__(self) -> PacedSandboxes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _create(self, request: SandboxRequest) -> Sandbox:
        asked_at = self.clock.now()
        try:
            sandbox = self.sandboxes.create(request)
        except SandboxError as error:
            self.tally.failed(error)
            if isinstance(error, SandboxUnavailable) and error.asked:
                self._slow_down(asked_at, error.retry_after_seconds)
            raise
        with self._lock:
            self._live.add(sandbox.sandbox_id)
            self._created += 1
        return sandbox

    def _slow_down(self, asked_at: float, retry_after_seconds: float | None) -> None:
        if retry_after_seconds is None:
            return  # it does not work; that is another matter than too fast
        with self._lock:
            # Permits of the old pace are void; one 429 speaks for all that were under way with it.
            self._due.clear()
            if asked_at <= self._slowed_at:
                return
            self._slowed_at = self.clock.now()
            try:
                self.pace.slow_down(asked_at=asked_at, retry_after_seconds=retry_after_seconds)
            except StoreConflict:
                return  # others write at this moment, and hear it from the provider as well

    def _rest(self) -> None:
        with self._lock:
            idle = not (self._live or self._starting or self._waiting or self.expected)
            if idle:
                self.close()

    # -- waiting

    def _await_permit(self) -> None:
        began, patience = self.clock.monotonic(), self.patience()
        with self._lock:
            self._waiting += 1
        try:
            while True:
                if self.stopped():
                    raise SandboxUnavailable("the run was stopped", asked=False)
                pause = self._step(patience, self.clock.monotonic() - began)
                if pause <= 0:
                    return
                self.clock.sleep(min(pause, LOOK_SECONDS))
        finally:
            with self._lock:
                self._waiting -= 1

    def _step(self, patience: float, waited: float) -> float:
        """Take a permit that is due, and answer 0; otherwise the seconds until another look."""
        with self._lock:
            now = self.clock.monotonic()
            left = min(patience, LONGEST_WAIT_SECONDS) - waited
            busy = len(self._live) + self._starting
            self._drop_old(now)
            if busy >= self._width:
                self._ask_for_place(now, busy, left)
            elif not self._due:
                self._ask(now, busy, left)
            if busy >= self._width:
                # Whoever has sandboxes will have a place when one of them ends, if not before.
                if (patience - waited if busy else left) <= 0:
                    raise _too_far(COME_AGAIN_SECONDS)
                return LOOK_SECONDS
            wait = self._due[0] - now if self._due else self._wait_seconds
            if wait > left or not self._due:
                raise _too_far(wait)
            if wait > 0:
                return wait
            self._due.popleft()
            self._starting += 1
            self.expected = max(0, self.expected - 1)
            return 0.0

    @property
    def _width(self) -> int:
        return self._given.width if self._given else 0

    @property
    def _wait_seconds(self) -> float:
        return self._given.wait_seconds if self._given else 0.0

    def _ask_for_place(self, now: float, busy: int, left: float) -> None:
        if self._width < self.wanted and now >= self._ask_at:
            self._ask(now, busy, left)
            if busy >= self._width:
                self._ask_at = now + PLACE_SECONDS

    def _ask(self, now: float, busy: int, left: float) -> None:
        """Take places, and permits where none is left."""
        if not self._due:
            self._ahead = min(PERMITS_AT_ONCE, self._ahead * (1 if self._wasted else 2))
            self._wasted = False
        room = max(1, self.wanted - busy)
        ahead = max(min(self._waiting, room), min(self._ahead, self.expected))
        demand = Demand(
            owner=self.owner,
            wanted=self.wanted,
            live=busy,
            permits=0 if self._due else min(ahead, PERMITS_AT_ONCE),
            expected=0 if self._due else self.expected,
            within_seconds=left,
            created=self._created,
        )
        given = self._take(demand)
        self._created = 0
        if self._given and self._due:
            self._given = replace(self._given, width=given.width)
        else:
            self._given = given
            self._due.extend(now + delay for delay in given.delays)

    def _take(self, demand: Demand) -> Permits:
        try:
            self._holds = True
            return self.pace.take(demand)
        except StoreConflict as error:
            raise SandboxUnavailable(
                "too many launchers ask for permits", retry_after_seconds=BUSY_SECONDS, asked=False
            ) from error

    def _drop_old(self, now: float) -> None:
        """Permits that grew old are not made up for: all at once they would be a burst."""
        if self._given is None or self._given.interval <= FREE_INTERVAL_SECONDS:
            return
        while self._due and self._due[0] < now - SAVED_SECONDS:
            self._due.popleft()
            if not self._wasted:
                self._wasted, self._ahead = True, max(1, self._ahead // 2)


def _too_far(seconds: float) -> SandboxUnavailable:
    return SandboxUnavailable(
        f"the next permit to create a sandbox is {seconds:.0f} s ahead",
        retry_after_seconds=seconds,
        asked=False,
    )

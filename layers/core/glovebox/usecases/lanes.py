"""A batch's groups, side by side on as many lanes as the batch is wide."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from glovebox.domain.attempt import Attempt
from glovebox.domain.errors import SandboxRefused, StoreConflict
from glovebox.domain.plan import Batch, Group
from glovebox.usecases.attempt import AttemptGroup, GroupEnding

PROVIDER_PATIENCE = 3
"""Groups in a row without a sandbox before the rest of the batch is left to the next round."""


@dataclass(frozen=True)
class Work:
    """One group of a batch, and what an earlier turn has begun of it."""

    index: int
    """Its place in the batch."""
    group: Group
    begun: Attempt | None = None
    """Its first attempt, where it runs already, in a sandbox that is to be gone on with."""


class Lanes:
    """Takes the groups one at a time, until there is none left or no reason to go on."""

    def __init__(
        self,
        batch: Batch,
        work: Sequence[Work],
        attempt: AttemptGroup,
        stopped: Callable[[], bool],
        on_failure: Callable[[], None],
        to_begin: float,
    ) -> None:
        """`to_begin` is how many seconds of patience a group needs that is begun; `on_failure`
        is called when a test has failed for good and the run is to fail fast."""
        self._batch, self._attempt = batch, attempt
        self._stopped, self._on_failure = stopped, on_failure
        self._to_begin = to_begin
        self._waiting = deque(work)
        self._running: list[int] = []
        self._lock = threading.Lock()
        self._without_sandbox = 0
        self._failed = False
        self.wait_seconds: float | None = None
        """After which the provider wants to be asked again, where it said so."""
        self.any_progress = False
        """Whether a group came to its end."""

    def run(self) -> None:
        """Attempt the groups."""
        width = self._batch.width
        with ThreadPoolExecutor(width, thread_name_prefix="lane") as pool:
            for done in [pool.submit(self._lane) for _ in range(width)]:
                done.result()

    @property
    def left(self) -> list[int]:
        """Places of the groups that are not at their end: running, or never begun."""
        return sorted([*self._running, *(work.index for work in self._waiting)])

    @property
    def running(self) -> list[int]:
        """Places of the groups whose sandboxes run on."""
        return sorted(self._running)

    def _lane(self) -> None:
        while (work := self._next()) is not None:
            try:
                ending = self._attempt(self._batch, work.group, work.begun)
            except StoreConflict:
                continue  # attempted by an earlier delivery of this batch
            if self._note(work, ending):
                self._on_failure()

    def _note(self, work: Work, ending: GroupEnding) -> bool:
        """Whether the run is to fail now, and fast."""
        suite = self._batch.suites[work.group.suite]
        with self._lock:
            if ending.wait_seconds is not None:
                self.wait_seconds = max(ending.wait_seconds, self.wait_seconds or 0.0)
            if ending.still_running:
                self._running.append(work.index)
            elif ending.wait_seconds is not None:
                self._waiting.append(work)
            elif ending.provider_fault is not None:
                self._without_sandbox += 1
                refused = isinstance(ending.provider_fault, SandboxRefused)
                if refused or self._without_sandbox >= PROVIDER_PATIENCE:
                    self._waiting.clear()
            else:
                self._without_sandbox = 0
                self.any_progress = True
            # Where retries are left, only the settled round knows whether it failed for good.
            for_good = ending.any_failed and self._batch.fail_fast and suite.retries == 0
            first = for_good and not self._failed
            self._failed |= for_good
        return first

    def _next(self) -> Work | None:
        with self._lock:
            if not self._waiting or self._stopped() or self._failed:
                return None
            # What runs already is gone on with, whatever time is left.
            if self._waiting[0].begun is None and not self._may_begin():
                return None
            return self._waiting.popleft()

    def _may_begin(self) -> bool:
        return self.wait_seconds is None and self._attempt.patience() > self._to_begin

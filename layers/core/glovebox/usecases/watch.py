"""Looks, beside the work, whether a run was stopped, and has its sandboxes ended then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Self

from glovebox.domain.errors import NotFound
from glovebox.domain.outcome import StopReason
from glovebox.ports import Clock, Runs

LOOK_SECONDS = 1.0
"""How often: a cancelled run's sandboxes are to be gone within ten seconds."""
_log = logging.getLogger(__name__)


class RunWatch:
    """A thread that looks at one run for the length of a block."""

    def __init__(self, runs: Runs, clock: Clock, run_id: str, deadline_at: float | None) -> None:
        """`deadline_at` is the end of the run's time (epoch seconds), None where there is none."""
        self._runs, self._clock = runs, clock
        self._run_id, self._deadline_at = run_id, deadline_at
        self.on_stop: Callable[[], None] = lambda: None
        """Ends what is under way. Called at every look once the run is stopped, since a sandbox
        may have been on its way when it was called last."""
        self.beat: Callable[[], bool] = lambda: True
        """Says that the work is alive; False where nobody waits for it any more."""
        self._stopped = threading.Event()
        self._unawaited = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def stopped(self) -> bool:
        """Whether no further step should be taken for this run."""
        return self._stopped.is_set() or self._unawaited.is_set()

    def run_stopped(self) -> bool:
        """Whether that is so because the run itself was stopped: what it cuts short is cancelled.
        Otherwise nobody waits for this work any more, and what it cuts short is lost."""
        return self._stopped.is_set()

    def look(self) -> bool:
        """Look now. A run that has vanished is treated as stopped."""
        try:
            run = self._runs.run(self._run_id)
            if self._is_over() and run.stop_reason is None:
                run = self._runs.request_stop(self._run_id, StopReason.TIMED_OUT)
            # Once its account is made, no further attempt would count.
            if run.finished_at is not None or run.stop_reason is not None:
                self._stopped.set()
        except NotFound:
            self._stopped.set()
        return self.stopped()

    def _is_over(self) -> bool:
        return self._deadline_at is not None and self._clock.now() >= self._deadline_at

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                self._turn()
            except Exception:
                # A store that does not answer for a moment must not leave the work unwatched.
                _log.warning("a look at the run failed", exc_info=True)

    def _turn(self) -> None:
        if not self.beat():
            # The round was settled without this batch: what it does counts no more.
            self._unawaited.set()
        if self.look():
            self.on_stop()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

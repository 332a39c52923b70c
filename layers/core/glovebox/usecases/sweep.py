"""End runs that nobody drives any more, with a conclusion, and tell their subscribers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from glovebox.domain.errors import NotFound
from glovebox.domain.outcome import Conclusion
from glovebox.domain.run import Run
from glovebox.ports import Clock, Notices, Runs, Workflow
from glovebox.usecases.reduce import ReduceRun
from glovebox.usecases.refuse import tell_of

GRACE_SECONDS = 120
"""A run that was accepted just now may not have its execution yet."""
RUN_SECONDS = 60
"""Kept back for a run: the report of a hundred thousand tests is written within it."""


@dataclass
class RunsSwept:
    """What a sweep did about runs."""

    ended: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """Runs whose subscribers were told of the end."""
    failed: dict[str, str] = field(default_factory=dict)
    """Runs that could not be ended or told of, and why: the next sweep tries again."""
    complete: bool = True
    """False where the time was over before every run was looked at."""


@dataclass
class SweepRuns:
    """The last net under runs. One that cannot be ended does not keep the others waiting."""

    runs: Runs
    workflow: Workflow
    clock: Clock
    reduce: ReduceRun
    notices: Notices

    def __call__(self, seconds_left: Callable[[], float]) -> RunsSwept:
        """Sweep, at most for the seconds left."""
        swept = RunsSwept()
        for run in self.runs.open_runs():
            if self._is_late(swept, seconds_left):
                return swept
            self._try(swept, run.run_id, partial(self._look_at, run, swept))
        # What an earlier sweep ended, or intake refused, and could not tell of.
        for run_id in list(self.runs.untold()):
            if self._is_late(swept, seconds_left):
                return swept
            if run_id not in swept.told and run_id not in swept.failed:
                self._try(swept, run_id, partial(self._tell, run_id, swept))
        return swept

    def _is_late(self, swept: RunsSwept, seconds_left: Callable[[], float]) -> bool:
        swept.complete = seconds_left() >= RUN_SECONDS
        return not swept.complete

    def _try(self, swept: RunsSwept, run_id: str, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            # Whatever it was about this run, the others are not to wait for it for ever.
            swept.failed[run_id] = f"{type(error).__name__}: {error}"[:300]

    def _look_at(self, run: Run, swept: RunsSwept) -> None:
        young = self.clock.now() - run.created_at < GRACE_SECONDS
        if young or self.workflow.is_driven(run.run_id):
            return
        # First of all: whatever breaks from here on, they will be told.
        self.runs.note_untold(run.run_id, self.clock.now())
        self.reduce(run.run_id, broken="abandoned: nobody drives this run any more")
        swept.ended.append(run.run_id)
        self._tell(run.run_id, swept)

    def _tell(self, run_id: str, swept: RunsSwept) -> None:
        try:
            run = self.runs.run(run_id)
        except NotFound:
            self.runs.note_told(run_id)
            return
        if not run.is_finished:
            return  # it is still to be ended, by the sweep that finds it
        if run.conclusion is Conclusion.REJECTED:
            tell_of(run, self.notices)
        else:
            notification = self.reduce(run_id)
            self.notices.publish(notification.message, notification.attributes)
        self.runs.note_told(run_id)
        swept.told.append(run_id)

"""End runs that nobody drives any more, with their sandboxes and a conclusion."""

from __future__ import annotations

from dataclasses import dataclass

from glovebox.domain.run import Run
from glovebox.ports import Clock, Runs, Workflow
from glovebox.usecases.reduce import ReduceRun

GRACE_SECONDS = 120
"""A run that was accepted just now may not have its execution yet."""


@dataclass
class SweepRuns:
    """The last net. Touches only runs of this ledger, and sandboxes that it names."""

    runs: Runs
    workflow: Workflow
    clock: Clock
    reduce: ReduceRun

    def __call__(self) -> list[str]:
        """Sweep; returns the ids of the runs that were ended."""
        abandoned = [run for run in self.runs.open_runs() if self._is_abandoned(run)]
        for run in abandoned:
            self.reduce(run.run_id, broken="abandoned: nobody drives this run any more")
        return [run.run_id for run in abandoned]

    def _is_abandoned(self, run: Run) -> bool:
        young = self.clock.now() - run.created_at < GRACE_SECONDS
        return not young and not self.workflow.is_driven(run.run_id)

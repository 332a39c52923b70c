"""Kill sandboxes that have outlived their owner. Touches only what the ledger knows as ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from glovebox.domain.errors import NotFound, SandboxError
from glovebox.ports import Clock, Runs, Sandboxes, SandboxFacts, Workflow
from glovebox.usecases.sweep import GRACE_SECONDS

YOUNG_SECONDS = 10
"""No sandbox is past its owner so soon: not worth a look into the ledger."""
OWN_KILL_SECONDS = 15
"""Whoever ended an attempt kills its sandbox now: left to them for so long."""
SANDBOX_SECONDS = 75
"""Kept back for a sandbox: the provider may take a minute to refuse a kill."""


@dataclass
class SandboxesSwept:
    """What a sweep did about sandboxes."""

    seen: int = 0
    killed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Sandboxes that could not be killed, and why: the next sweep tries again."""
    complete: bool = True
    """False where the time was over, or the provider's list broke off, before the end."""
    broken: str | None = None
    """Why the list broke off, where it did."""


@dataclass
class SweepSandboxes:
    """The last net under sandboxes."""

    sandboxes: Sandboxes
    runs: Runs
    workflow: Workflow
    clock: Clock
    _over: dict[str, bool] = field(default_factory=dict)
    """Of each run that was met in this sweep, whether it is over."""

    def __call__(self, seconds_left: Callable[[], float]) -> SandboxesSwept:
        """Sweep, at most for the seconds left."""
        swept = SandboxesSwept()
        self._over.clear()
        try:
            for facts in self.sandboxes.list():
                if seconds_left() < SANDBOX_SECONDS:
                    swept.complete = False
                    break
                swept.seen += 1
                if self._is_past_its_owner(facts):
                    self._kill(facts.sandbox_id, swept)
        except SandboxError as error:
            swept.complete, swept.broken = False, error.reason
        return swept

    def _kill(self, sandbox_id: str, swept: SandboxesSwept) -> None:
        try:
            self.sandboxes.kill(sandbox_id)
        except SandboxError as error:
            swept.failed[sandbox_id] = error.reason
        else:
            swept.killed.append(sandbox_id)

    def _is_past_its_owner(self, facts: SandboxFacts) -> bool:
        now = self.clock.now()
        if facts.created_at is not None and abs(now - facts.created_at) < YOUNG_SECONDS:
            return False
        owner = self.runs.owner_of(facts.sandbox_id)
        if owner is None:
            return False  # somebody else's, who shares the account
        if owner.ended_at is not None:
            return now - owner.ended_at >= OWN_KILL_SECONDS
        if owner.until is not None and now >= owner.until:
            return True
        if owner.run_id not in self._over:
            self._over[owner.run_id] = self._is_over(owner.run_id, now)
        return self._over[owner.run_id]

    def _is_over(self, run_id: str, now: float) -> bool:
        """Whether no sandbox of this run has a reason to live."""
        try:
            run = self.runs.run(run_id)
        except NotFound:
            return True
        if run.is_finished:
            return True
        if run.deadline_at is not None and now >= run.deadline_at + GRACE_SECONDS:
            return True
        return now - run.created_at >= GRACE_SECONDS and not self.workflow.is_driven(run_id)

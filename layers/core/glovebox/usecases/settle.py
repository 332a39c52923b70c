"""Settle a round: which tests need another attempt, and why. Two kinds, bounded apart.

What infrastructure lost is ours to repeat; what the test itself failed is repeated only as
often as its suite's `retries` say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from glovebox.domain.attempt import Attempt, AttemptState, Fault
from glovebox.domain.errors import SandboxError, StoreConflict
from glovebox.domain.manifest import Suite
from glovebox.domain.outcome import Outcome, StopReason
from glovebox.domain.plan import Group, PlannedAttempt, Round, RoundAnswer
from glovebox.ports import Artifacts, Clock, Images, Runs, Sandboxes
from glovebox.usecases.rounds import read_manifest, read_plan, read_round, write_round

MAX_LOSSES = 2
"""Further attempts at one test that infrastructure may cost."""


@dataclass
class SettleRound:
    """Looks at what became of a round and makes the next one."""

    sandboxes: Sandboxes
    runs: Runs
    artifacts: Artifacts
    clock: Clock
    images: Images
    quick_images: bool
    """Whether images are made anew for every run, and so are of no use after it."""

    def __call__(self, run_id: str, round_number: int) -> RoundAnswer:
        """The next round; one of no batches where the run is done."""
        run = self.runs.run(run_id)
        plan = read_plan(self.artifacts, run_id)
        manifest = read_manifest(self.artifacts, run_id)
        settled = read_round(self.artifacts, run_id, round_number)
        attempts = self._attempts(run_id)
        self._close_abandoned(attempts)
        groups: tuple[Group, ...] = ()
        if run.stop_reason is None:
            groups = next_groups(settled, attempts, {s.name: s for s in manifest.suites})
            if manifest.fail_fast and _any_failed_for_good(attempts, groups):
                self.runs.request_stop(run_id, StopReason.FAIL_FAST)
                groups = ()
        if not groups and plan.baked is not None and self.quick_images:
            with suppress(SandboxError):
                self.images.remove(plan.baked)
        following = Round(run_id=run_id, round=round_number + 1, groups=groups)
        return write_round(self.artifacts, run, plan, manifest, following)

    def _attempts(self, run_id: str) -> dict[str, list[Attempt]]:
        by_key: dict[str, list[Attempt]] = {}
        for attempt in self.runs.attempts(run_id):
            by_key.setdefault(attempt.key, []).append(attempt)
        for listed in by_key.values():
            listed.sort(key=lambda attempt: attempt.number)
        return by_key

    def _close_abandoned(self, by_key: dict[str, list[Attempt]]) -> None:
        """The Map is over, so nobody drives an attempt that is still running."""
        for attempts in by_key.values():
            for index, attempt in enumerate(attempts):
                if attempt.state is AttemptState.RUNNING:
                    attempts[index] = self._close(attempt)

    def _close(self, attempt: Attempt) -> Attempt:
        if attempt.sandbox_id is not None:
            with suppress(SandboxError):  # its TTL ends it
                self.sandboxes.kill(attempt.sandbox_id)
        lost = attempt.model_copy(
            update={
                "state": AttemptState.FINISHED,
                "outcome": Outcome.ERRORED,
                "fault": Fault.LOST,
                "message": "lost: whoever drove this attempt vanished",
                "changed_at": self.clock.now(),
            }
        )
        try:
            self.runs.close_attempts([lost])
        except StoreConflict:
            # It was recorded this very moment, by somebody slow: that stands.
            recorded = self.runs.attempts_of_test(attempt.run_id, attempt.key)
            return next((a for a in recorded if a.number == attempt.number), lost)
        return lost


def next_groups(
    settled: Round, attempts: Mapping[str, Sequence[Attempt]], suites: Mapping[str, Suite]
) -> tuple[Group, ...]:
    """The groups of the next round: what is left of each group, together again."""
    groups = []
    for group in settled.groups:
        suite = suites[group.suite]
        again = [
            planned
            for attempt in group.attempts
            if (planned := _next_attempt(attempt, attempts.get(attempt.key, ()), suite))
        ]
        if again:
            groups.append(Group(suite=group.suite, attempts=tuple(again)))
    return tuple(groups)


def _next_attempt(
    planned: PlannedAttempt, attempts: Sequence[Attempt], suite: Suite
) -> PlannedAttempt | None:
    made = next((a for a in attempts if a.number == planned.number), None)
    number = planned.number + 1
    if made is None:
        # Never begun: the same attempt is due again.
        losses, number = planned.losses + 1, planned.number
    elif made.outcome is Outcome.ERRORED:
        if made.fault is None or not made.fault.is_infrastructure:
            return None
        losses = planned.losses + 1
    elif made.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
        spoken = sum(a.outcome in (Outcome.FAILED, Outcome.TIMED_OUT) for a in attempts)
        if spoken > suite.retries:
            return None
        losses = planned.losses
    else:
        return None
    if losses > MAX_LOSSES:
        return None
    return planned.model_copy(update={"number": number, "losses": losses})


def _any_failed_for_good(
    attempts: Mapping[str, Sequence[Attempt]], groups: Sequence[Group]
) -> bool:
    again = {attempt.key for group in groups for attempt in group.attempts}
    return any(
        listed[-1].outcome in (Outcome.FAILED, Outcome.TIMED_OUT)
        for key, listed in attempts.items()
        if key not in again
    )

"""From attempts to the one result of a test, and from results to the conclusion of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from glovebox.domain.attempt import Attempt, Fault
from glovebox.domain.outcome import Conclusion, Outcome, StopReason
from glovebox.domain.plan import PlannedTest

CONCLUSIVE = frozenset({Outcome.PASSED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.SKIPPED})
"""Outcomes by which the test itself spoke."""

NEVER_ATTEMPTED = "lost: no attempt at this test was ever recorded"


@dataclass(frozen=True)
class TestResult:
    """What all attempts at one test come to."""

    __test__ = False

    outcome: Outcome
    flaky: bool = False
    """Passed after an attempt in which the test itself did not."""
    message: str | None = None
    duration_seconds: float | None = None


def fold_attempts(
    test: PlannedTest, attempts: Iterable[Attempt], stop_reason: StopReason | None
) -> TestResult:
    """The test's result. Depends neither on the order of the attempts nor on repeats.

    The last attempt in which the test itself spoke decides; what infrastructure or a stop cut
    short decides only where there is no such attempt.
    """
    if test.cannot_run is not None:
        return TestResult(Outcome.ERRORED, message=test.cannot_run)
    by_number = {attempt.number: attempt for attempt in attempts if attempt.outcome is not None}
    finished = [by_number[number] for number in sorted(by_number)]
    spoke = [attempt for attempt in finished if attempt.outcome in CONCLUSIVE]
    if spoke:
        last = spoke[-1]
        outcome = last.outcome or Outcome.ERRORED
        flaky = outcome is Outcome.PASSED and any(_counts_against(a) for a in finished)
        return TestResult(outcome, flaky, last.message, last.duration_seconds)
    errored = [attempt for attempt in finished if attempt.outcome is Outcome.ERRORED]
    if errored:
        return TestResult(Outcome.ERRORED, message=errored[-1].message)
    if finished or stop_reason is not None:
        return TestResult(Outcome.CANCELLED, message=_why_cancelled(stop_reason))
    return TestResult(Outcome.ERRORED, message=NEVER_ATTEMPTED)


def _counts_against(attempt: Attempt) -> bool:
    """A sandbox that was lost says nothing about the test; a test that left no proof does."""
    if attempt.outcome is Outcome.ERRORED:
        return attempt.fault is Fault.EVIDENCE
    return attempt.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)


def _why_cancelled(reason: StopReason | None) -> str:
    reasons = {
        StopReason.CANCELLED: "the run was cancelled",
        StopReason.TIMED_OUT: "the run's time was over",
        StopReason.FAIL_FAST: "another test failed and fail_fast is set",
    }
    return reasons.get(reason, "cancelled") if reason else "cancelled"


def conclude(
    results: Sequence[Outcome], stop_reason: StopReason | None, *, broken: bool = False
) -> Conclusion:
    """How a run ended. `broken`: the run itself could not go on, whatever its tests say.

    A stop from outside comes first, since tests are missing then; one failure outweighs any
    number of errors, since it is certain.
    """
    if stop_reason is StopReason.CANCELLED:
        return Conclusion.CANCELLED
    if stop_reason is StopReason.TIMED_OUT:
        return Conclusion.TIMED_OUT
    if any(outcome in (Outcome.FAILED, Outcome.TIMED_OUT) for outcome in results):
        return Conclusion.FAILED
    if broken or any(outcome is Outcome.ERRORED for outcome in results):
        return Conclusion.ERRORED
    if any(outcome is Outcome.CANCELLED for outcome in results):
        return Conclusion.CANCELLED
    return Conclusion.PASSED if results else Conclusion.NO_TESTS

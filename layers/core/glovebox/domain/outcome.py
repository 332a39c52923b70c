"""The words for how attempts, tests and runs end."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How one attempt ended; a test's result is one of the same six words."""

    PASSED = "passed"
    FAILED = "failed"
    """The test said no."""
    ERRORED = "errored"
    """We could not find out: lost sandbox, malformed answer, id not in the report."""
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_settled_good(self) -> bool:
        """Whether this outcome needs no further attempt and spoils nothing."""
        return self in (Outcome.PASSED, Outcome.SKIPPED)


class RunState(StrEnum):
    """Where a run is. Only `finished` is final."""

    ACCEPTED = "accepted"
    PREPARING = "preparing"
    PLANNING = "planning"
    RUNNING = "running"
    REDUCING = "reducing"
    FINISHED = "finished"


class Conclusion(StrEnum):
    """How a run ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NO_TESTS = "no_tests"
    REJECTED = "rejected"


class StopReason(StrEnum):
    """Why a run stops launching before every test has had its attempts."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    FAIL_FAST = "fail_fast"

"""A provider that says 429: the run waits, bounded, and no test fails for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from glovebox.domain.errors import SandboxUnavailable
from glovebox.domain.outcome import Conclusion, Outcome
from glovebox.domain.pacing import PaceLimits
from glovebox.domain.report import Report

from tests.fakes import FakeClock, MemoryPace
from tests.unit.usecases.driver import Spine

TESTS = 6


class Throttled:
    """A run of a few commands, on a clock that moves only when somebody waits."""

    def __init__(self, folder: Path) -> None:
        self.spine = Spine(folder)
        self.clock = FakeClock()
        limits = PaceLimits(per_minute=60, sandboxes=100)
        self.spine.pace = MemoryPace(limits, self.clock)
        # One lane: with more, each one's waiting would move the clock of the others.
        self.spine.clock = self.clock  # type: ignore[assignment]
        for use_case in (self.spine.accept, self.spine.prepare, self.spine.plan):
            use_case.clock = self.clock
        self.spine.settle.clock = self.spine.reduce.clock = self.clock

    def run(self) -> Report:
        names = [f"t{number}" for number in range(TESTS)]
        suite: dict[str, object] = {"name": "unit", "framework": "command", "tests": names}
        suite["command"] = ["test", "-n", "{test_id}"]
        source = {"inline": {"files": {"a": ""}}}
        run_id = self.spine.start(
            {"source": source, "suites": [suite], "parallelism": 1, "timeout": "1h"}
        )
        return self.spine.drive(run_id)


@pytest.fixture
def throttled(tmp_path: Path) -> Throttled:
    return Throttled(tmp_path)


def too_many(times: int, retry_after: float) -> list[SandboxUnavailable]:
    return [SandboxUnavailable("429", retry_after_seconds=retry_after) for _ in range(times)]


@pytest.mark.parametrize(
    ("times", "retry_after"), [(1, 2.0), (5, 2.0), (3, 30.0), (1, 3600.0)], ids=str
)
def test_429_makes_nothing_fail(throttled: Throttled, times: int, retry_after: float) -> None:
    throttled.spine.sandboxes.failures.extend(too_many(times, retry_after))
    report = throttled.run()
    assert report.conclusion is Conclusion.PASSED
    assert report.summary.total == report.summary.passed == TESTS
    assert all(len(test.attempts) == 1 for test in report.tests), "a wait is no attempt"
    assert not throttled.spine.sandboxes.live


def test_a_wish_to_wait_for_an_hour_is_followed_for_minutes_only(throttled: Throttled) -> None:
    throttled.spine.sandboxes.failures.extend(too_many(1, 3600))
    began = throttled.clock.monotonic()
    throttled.run()
    assert throttled.clock.monotonic() - began < 600


def test_the_provider_is_hardly_asked_while_it_says_429(throttled: Throttled) -> None:
    throttled.spine.sandboxes.failures.extend(too_many(3, 30))
    throttled.run()
    assert len(throttled.spine.sandboxes.requests) == TESTS + 3


def test_a_provider_that_says_429_for_ever_ends_with_the_runs_time_and_nothing_failed(
    throttled: Throttled,
) -> None:
    throttled.spine.sandboxes.failures.extend(too_many(10_000, 30))
    report = throttled.run()
    assert report.conclusion is Conclusion.TIMED_OUT
    assert report.summary.total == TESTS
    assert {test.result for test in report.tests} <= {Outcome.ERRORED, Outcome.CANCELLED}
    assert len(throttled.spine.sandboxes.requests) < 3600 / 30, "and it was hardly asked"
    assert throttled.spine.pace.state.leases == {}, "nobody keeps a place"

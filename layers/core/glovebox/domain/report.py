"""report.json, version 1: the one truthful account of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from glovebox.domain.attempt import Attempt, Fault
from glovebox.domain.log import Log
from glovebox.domain.moment import to_timestamp
from glovebox.domain.outcome import Conclusion, Outcome
from glovebox.domain.plan import Atom, PlannedTest
from glovebox.domain.result import conclude, fold_attempts
from glovebox.domain.run import Origin, Run

DOLLARS_PER_SANDBOX_SECOND = 2 * 1.4e-5 + 2 * 4.5e-6
"""The hosted list price of a default sandbox (2 vCPU at $1.4e-5, 2 GiB at $4.5e-6 a second)."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Summary(_Document):
    """Counts of results. `total` is the plan's count, and the sum of the six results."""

    total: int = Field(ge=0)
    passed: int = 0
    failed: int = 0
    errored: int = 0
    timed_out: int = 0
    skipped: int = 0
    cancelled: int = 0
    flaky: int = 0
    """Of the passed: those that needed more than one attempt."""
    cached: int = 0
    """Of the passed: those proven by an earlier run."""

    @model_validator(mode="after")
    def _identity(self) -> Summary:
        counted = sum(getattr(self, outcome.value) for outcome in Outcome)
        if counted != self.total:
            message = f"{self.total} tests planned, {counted} accounted for"
            raise ValueError(message)
        if self.flaky > self.passed or self.cached > self.passed:
            message = "more flaky or cached tests than passed ones"
            raise ValueError(message)
        return self


class AttemptReport(_Document):
    """One attempt."""

    number: int
    outcome: Outcome
    exit_code: int | None
    """Of the test process; null where it was not learnt."""
    sandbox_id: str | None
    started_at: str | None
    """When its sandbox was asked for, ISO 8601 in UTC."""
    duration_seconds: float | None
    """What the framework measured."""
    phases: dict[str, float]
    """Seconds per phase of the sandbox: create, run, deliver."""
    message: str | None
    fault: Fault | None
    """Why it errored; null for every other outcome."""
    log: Log | None
    artifacts: tuple[str, ...] = ()


class TestReport(_Document):
    """One test."""

    __test__ = False

    suite: str
    test_id: str
    key: str
    """The test's short name in URLs and file names."""
    file: str | None
    line: int | None
    atom: Atom = Atom.TEST
    """What the id names: one test, or a file or a suite that has one result for all in it."""
    result: Outcome
    flaky: bool
    cached: bool
    duration_seconds: float | None
    message: str | None
    attempts: tuple[AttemptReport, ...]


class Usage(_Document):
    """What the run used."""

    sandboxes: int
    sandbox_seconds: float
    """From asking for each sandbox to its last answer, summed."""
    estimated_cost: float
    """US dollars at the hosted list price; nothing is billed for local sandboxes."""


class Report(_Document):
    """The whole run."""

    schema_version: int = 1
    run_id: str
    name: str
    origin: Origin | None = None
    """The version of the object that the manifest was; null for other doors than S3."""
    conclusion: Conclusion
    message: str | None
    """Why the run ended as it did, where its tests do not say."""
    started_at: str
    finished_at: str
    duration_seconds: float = Field(ge=0)
    summary: Summary
    tests: tuple[TestReport, ...]
    usage: Usage

    @model_validator(mode="after")
    def _counts_what_it_lists(self) -> Report:
        listed = Counter(test.result for test in self.tests)
        if len(self.tests) != self.summary.total or any(
            listed[outcome] != getattr(self.summary, outcome.value) for outcome in Outcome
        ):
            message = "the summary does not count the tests that the report lists"
            raise ValueError(message)
        return self


def make_report(
    run: Run,
    tests: Sequence[PlannedTest],
    attempts: Iterable[Attempt],
    *,
    finished_at: float,
    broken: str | None = None,
) -> Report:
    """Account for every planned test. The same input in any order, with any repeats, gives the
    same report; attempts at tests that were never planned are left out.

    `broken` is why the run itself could not go on, if it could not.
    """
    by_key: dict[str, dict[int, Attempt]] = {}
    for attempt in attempts:
        known = by_key.setdefault(attempt.key, {})
        if attempt.number not in known or known[attempt.number].outcome is None:
            known[attempt.number] = attempt
    reports = tuple(_test_report(run, test, by_key.get(test.key, {})) for test in tests)
    started_at = run.started_at if run.started_at is not None else run.created_at
    # A clock that stepped back must not make a run end before it began.
    finished_at = max(finished_at, started_at)
    return Report(
        run_id=run.run_id,
        name=run.name,
        origin=run.origin,
        conclusion=conclude(
            [report.result for report in reports], run.stop_reason, broken=broken is not None
        ),
        message=broken,
        started_at=to_timestamp(started_at),
        finished_at=to_timestamp(finished_at),
        duration_seconds=round(finished_at - started_at, 3),
        summary=_summary(reports),
        tests=reports,
        usage=_usage(attempt for group in by_key.values() for attempt in group.values()),
    )


def _test_report(run: Run, test: PlannedTest, attempts: Mapping[int, Attempt]) -> TestReport:
    result = fold_attempts(test, attempts.values(), run.stop_reason)
    return TestReport(
        suite=test.suite,
        test_id=test.test_id,
        key=test.key,
        file=test.file,
        line=test.line,
        atom=test.atom,
        result=result.outcome,
        flaky=result.flaky,
        cached=False,
        duration_seconds=result.duration_seconds,
        message=result.message,
        attempts=tuple(
            _attempt_report(attempts[number])
            for number in sorted(attempts)
            if attempts[number].outcome is not None
        ),
    )


def _attempt_report(attempt: Attempt) -> AttemptReport:
    return AttemptReport(
        number=attempt.number,
        outcome=attempt.outcome or Outcome.ERRORED,
        exit_code=attempt.exit_code,
        sandbox_id=attempt.sandbox_id,
        started_at=None if attempt.started_at is None else to_timestamp(attempt.started_at),
        duration_seconds=attempt.duration_seconds,
        phases=attempt.phases,
        message=attempt.message,
        fault=attempt.fault,
        log=attempt.log,
    )


def _summary(tests: Sequence[TestReport]) -> Summary:
    counts = Counter(test.result.value for test in tests)
    return Summary(
        total=len(tests),
        flaky=sum(test.flaky for test in tests),
        cached=sum(test.cached for test in tests),
        **counts,
    )


def _usage(attempts: Iterable[Attempt]) -> Usage:
    seconds: dict[str, float] = {}
    for attempt in attempts:
        if attempt.sandbox_id is not None:
            lived = sum(attempt.phases.values())
            seconds[attempt.sandbox_id] = max(seconds.get(attempt.sandbox_id, 0.0), lived)
    total = sum(seconds[sandbox_id] for sandbox_id in sorted(seconds))
    return Usage(
        sandboxes=len(seconds),
        sandbox_seconds=round(total, 3),
        estimated_cost=round(total * DOLLARS_PER_SANDBOX_SECOND, 6),
    )

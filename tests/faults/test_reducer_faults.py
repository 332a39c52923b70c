"""One account of a run: whatever is missing, doubled, late or foreign, however often and by how
many at once it is made, and wherever a reducer ends half-way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from glovebox.domain import keys
from glovebox.domain.attempt import Attempt, AttemptState, Fault
from glovebox.domain.documents import DOCUMENTS
from glovebox.domain.errors import StoreConflict
from glovebox.domain.moment import to_timestamp
from glovebox.domain.outcome import Conclusion, Outcome, RunState, StopReason
from glovebox.domain.plan import Plan, PlannedTest
from glovebox.domain.report import Report
from glovebox.domain.run import Run
from glovebox.usecases.reduce import Notification, ReduceRun
from glovebox.usecases.rounds import write_plan

from tests.fakes import FakeClock, MemoryArtifacts, MemoryRuns
from tests.faults.interposed import Around, Crash, at_call, crash, interposed
from tests.faults.invariants import check
from tests.faults.witness import FakeWitness

TESTS = [PlannedTest(suite="s", test_id=f"test {number}") for number in range(6)]
CALLS = 18
"""As many as a reducer makes; checked below."""


def attempt(test: PlannedTest, outcome: Outcome | None, number: int = 1) -> Attempt:
    return Attempt(
        run_id="r",
        suite=test.suite,
        test_id=test.test_id,
        key=test.key,
        number=number,
        round=number,
        state=AttemptState.RUNNING if outcome is None else AttemptState.FINISHED,
        outcome=outcome,
        fault=Fault.LOST if outcome is Outcome.ERRORED else None,
        exit_code={Outcome.PASSED: 0, Outcome.FAILED: 1}.get(outcome) if outcome else None,
        sandbox_id=f"sb-{test.key}-{number}",
        started_at=1000.0,
        changed_at=1001.0,
    )


ATTEMPTS = [
    attempt(TESTS[0], Outcome.PASSED),
    attempt(TESTS[1], Outcome.FAILED),
    attempt(TESTS[2], Outcome.FAILED),
    attempt(TESTS[2], Outcome.PASSED, 2),
    attempt(TESTS[3], Outcome.ERRORED),
    attempt(TESTS[4], None),
    # TESTS[5]: no row.
]


@dataclass
class Ledger:
    """A run that is to be reduced."""

    runs: MemoryRuns = field(default_factory=MemoryRuns)
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)
    clock: FakeClock = field(default_factory=FakeClock)
    attempts: list[Attempt] = field(default_factory=lambda: ATTEMPTS)

    def __post_init__(self) -> None:
        self.witness = FakeWitness(self.runs, self.artifacts)
        self.notices: list[str] = []
        self.witness.notices = self.notices
        run = Run(
            run_id="r", name="n", door="api", created_at=999.0, started_at=999.5,
            state=RunState.RUNNING, parallelism_asked=1,
        )  # fmt: skip
        self.runs.create_run(run)
        plan = Plan(run_id="r", name="n", tests=tuple(TESTS), bundle_key="", parallelism=1)
        write_plan(self.artifacts, plan)
        self.write(self.attempts)

    def write(self, attempts: list[Attempt]) -> None:
        for row in attempts:
            self.runs.open_attempts(
                [row.model_copy(update={"outcome": None, "state": AttemptState.RUNNING})]
            )
            if row.outcome is not None:
                self.runs.close_attempts([row])

    def reduce(self, around: Around | None = None, broken: str | None = None) -> Notification:
        """By a reducer of its own. Every one of them begins at another time."""
        self.clock.advance(7)
        runs, artifacts = self.runs, self.artifacts
        if around is not None:
            runs = interposed("runs", runs, around)
            artifacts = interposed("artifacts", artifacts, around)
        told = ReduceRun(runs, artifacts, self.clock)("r", broken)
        self.notices.append(told.message)
        return told

    def documents(self) -> dict[str, bytes]:
        return {
            name: content
            for name, content in self.artifacts.objects.items()
            if "/report/" in name or name == keys.notice_key("r")
        }

    def report(self) -> Report:
        content = self.artifacts.objects[keys.report_key("r", "report.json")]
        return Report.model_validate_json(content)

    def hold(self) -> None:
        check(self.witness.look(self.clock.now()))
        run = self.runs.run("r")
        if run.is_finished:
            ended = to_timestamp(run.finished_at or 0.0)
            assert (ended, run.message) == (self.report().finished_at, self.report().message)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_what_is_missing_or_never_ended_is_errored_and_counted(ledger: Ledger) -> None:
    ledger.reduce()
    results = [test.result for test in ledger.report().tests]
    passed, failed, errored = Outcome.PASSED, Outcome.FAILED, Outcome.ERRORED
    assert results == [passed, failed, passed, errored, errored, errored]
    assert ledger.report().summary.total == len(TESTS)
    ledger.hold()


def test_rows_of_tests_that_were_never_planned_change_nothing(ledger: Ledger) -> None:
    foreign = PlannedTest(suite="s", test_id="foreign")
    without = Ledger()
    without.reduce()
    ledger.write([attempt(foreign, Outcome.PASSED), attempt(foreign, Outcome.FAILED, 2)])
    ledger.reduce()
    told = (ledger.report().tests, ledger.report().summary)
    assert told == (without.report().tests, without.report().summary)


def test_reducing_again_and_again_changes_no_document(ledger: Ledger) -> None:
    first, documents = ledger.reduce(), ledger.documents()
    assert len(documents) == len(DOCUMENTS) + 1, "and the notice"
    for broken in (None, "something broke", None):
        assert ledger.reduce(broken=broken) == first
        assert ledger.documents() == documents
    ledger.hold()


@pytest.mark.parametrize("number", range(CALLS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("broken", [None, "abandoned"])
def test_two_reducers_at_once_make_one_account(
    ledger: Ledger, number: int, after: bool, broken: str | None
) -> None:
    """The second runs as a whole at each point of the first: a reducer and a sweeper, say."""
    others: list[Notification] = []

    def other() -> None:
        others.append(ledger.reduce(broken=broken))
        seen.update(ledger.documents())

    seen: dict[str, bytes] = {}
    first = ledger.reduce(at_call(number, other, after=after))
    assert others in ([first], []), "not told the same"
    if others:
        assert ledger.documents() == seen
    documents = ledger.documents()
    assert ledger.reduce() == first
    assert ledger.documents() == documents
    ledger.hold()


@pytest.mark.parametrize("number", range(CALLS))
def test_a_reducer_that_crashes_beside_another_leaves_one_account(number: int) -> None:
    """The other one ends half-way, wherever that is, while the first stands at this point."""
    for point in range(CALLS):
        for after in (False, True):
            ledger = Ledger()
            beside = partial(half_way, ledger, point, after=after)
            first = ledger.reduce(at_call(number, beside))
            ledger.hold()
            assert ledger.reduce() == first
            ledger.hold()


def half_way(ledger: Ledger, point: int, *, after: bool) -> None:
    with contextlib.suppress(Crash):
        ledger.reduce(at_call(point, crash, after=after), broken="abandoned")


def test_all_points_of_a_reducer_are_tried(ledger: Ledger) -> None:
    calls: list[str] = []

    def around(name: str, call: Callable[[], object]) -> object:
        calls.append(name)
        return call()

    ledger.reduce(around)
    assert len(calls) == CALLS
    assert calls.count("artifacts.put_new") == 2


@pytest.mark.parametrize("number", range(CALLS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_reducer_that_crashes_leaves_nothing_that_the_next_one_contradicts(
    ledger: Ledger, number: int, after: bool
) -> None:
    try:
        ledger.reduce(at_call(number, crash, after=after))
    except Crash:
        half_way = ledger.documents()
    else:
        half_way = ledger.documents()
    ledger.hold()
    # Meanwhile somebody slow has something to tell, and a user cancels.
    late = attempt(TESTS[4], Outcome.PASSED)
    with contextlib.suppress(StoreConflict):
        ledger.runs.close_attempts([late])
    ledger.runs.request_stop("r", StopReason.CANCELLED)
    ledger.reduce()
    assert {name: ledger.documents()[name] for name in half_way} == half_way
    run = ledger.runs.run("r")
    assert (run.conclusion, run.summary) == (
        ledger.report().conclusion,
        ledger.report().summary.model_dump(),
    )
    ledger.hold()


def test_after_the_report_nothing_late_can_be_recorded(ledger: Ledger) -> None:
    ledger.reduce()
    with pytest.raises(StoreConflict):
        ledger.runs.close_attempts([attempt(TESTS[4], Outcome.PASSED)])
    ledger.hold()


def test_what_a_stop_cut_short_is_cancelled_and_not_lost(ledger: Ledger) -> None:
    ledger.runs.request_stop("r", StopReason.CANCELLED)
    ledger.reduce()
    assert ledger.report().tests[4].result is Outcome.CANCELLED
    assert ledger.report().conclusion is Conclusion.CANCELLED
    ledger.hold()


def test_a_run_of_the_same_name_that_ends_meanwhile_does_not_change_what_was_told(
    ledger: Ledger,
) -> None:
    first = ledger.reduce()
    other = Run(
        run_id="r2", name="n", door="api", created_at=1.0, parallelism_asked=1,
        state=RunState.FINISHED, conclusion=Conclusion.PASSED,
        finished_at=ledger.clock.now() + 100,
    )  # fmt: skip
    ledger.runs.create_run(other)
    ledger.runs.note_conclusion(other)
    assert ledger.reduce() == first


def test_the_order_of_the_rows_does_not_matter(ledger: Ledger) -> None:
    backwards = Ledger(attempts=ATTEMPTS[::-1])
    ledger.reduce()
    backwards.reduce()
    assert ledger.documents() == backwards.documents()

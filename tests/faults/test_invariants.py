"""The checker notices each thing that must not be: one that cannot fail is worth nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from glovebox.domain.attempt import Attempt, AttemptState, Fault
from glovebox.domain.junit import to_junit
from glovebox.domain.keys import test_key as key_of
from glovebox.domain.outcome import Conclusion, Outcome, RunState
from glovebox.domain.plan import PlannedTest
from glovebox.domain.report import make_report
from glovebox.domain.run import Run
from glovebox.usecases.reduce import Notification

from tests.faults.invariants import Invariant, check, forms_of, violations
from tests.faults.witness import FakeWitness, History
from tests.faults.world import LiveSandbox, QueueView, RunView, World
from tests.unit.usecases.driver import Spine

TRUTH = {"good": Outcome.PASSED, "bad": Outcome.FAILED}
BAIT = "hk_live_BAIT/é+1"


def attempt(test_id: str, outcome: Outcome, number: int = 1, **changes: Any) -> Attempt:
    return Attempt(
        run_id="r",
        suite="s",
        test_id=test_id,
        key=key_of("s", test_id),
        number=number,
        round=number,
        state=AttemptState.FINISHED,
        outcome=outcome,
        exit_code=0 if outcome is Outcome.PASSED else 1,
        sandbox_id=f"sb-{test_id}-{number}",
    ).model_copy(update=changes)


def a_run_view(*rows: Attempt) -> RunView:
    """A run whose report was made of these rows."""
    planned = [PlannedTest(suite="s", test_id=test_id) for test_id in TRUTH]
    accepted = Run(run_id="r", name="n", door="api", created_at=1.0, parallelism_asked=1)
    report = make_report(accepted, planned, rows, finished_at=9.0)
    changes = {
        "state": RunState.FINISHED,
        "conclusion": report.conclusion,
        "summary": report.summary.model_dump(),
    }
    running = [row.model_copy(update={"state": "running", "outcome": None}) for row in rows]
    return RunView(
        runs=[accepted, accepted.model_copy(update=changes)],
        planned=planned,
        attempts=list(zip(running, rows, strict=True)),
        reports=[report.model_dump_json().encode()],
        junit=to_junit(report),
    )


def a_notice(view: RunView, **changes: Any) -> str:
    run = view.run
    told = {"run_id": run.run_id, "conclusion": run.conclusion, "summary": run.summary}
    return json.dumps(told | changes)


def a_world(view: RunView) -> World:
    return World(
        now=1000.0,
        runs=[view],
        queues=[QueueView("launch"), QueueView("dead", 1, ['{"run_id": "r"}'])],
        notices=[a_notice(view), a_notice(view)],
        texts=[("report", b"nothing to see")],
        executions={("r", "good", 1): 1, ("r", "bad", 1): 1, ("r", "bad", 2): 1},
    )


GOOD = a_run_view(
    attempt("good", Outcome.PASSED),
    attempt("bad", Outcome.FAILED),
    attempt("bad", Outcome.FAILED, 2),
)
WORLD = a_world(GOOD)


def edited(view: RunView, edit: Callable[[dict[str, Any]], Any]) -> RunView:
    document = json.loads(view.reports[-1])
    edit(document)
    return replace(view, reports=[json.dumps(document).encode()])


def with_row(view: RunView, index: int, *rows: Attempt) -> RunView:
    attempts = list(view.attempts)
    attempts[index] = rows
    return replace(view, attempts=attempts)


def changed_run(view: RunView, **changes: Any) -> RunView:
    return replace(view, runs=[view.run.model_copy(update=changes)])


def told(invariants: list[Any]) -> set[Invariant]:
    return {violation.invariant for violation in invariants}


def broken_view(view: RunView) -> set[Invariant]:
    return told(violations(replace(WORLD, runs=[view], notices=None), truth=TRUTH))


def test_a_good_world_is_not_complained_about() -> None:
    check(WORLD, over=True, truth=TRUTH, baits=[BAIT])


def test_a_real_run_over_fakes_breaks_nothing(tmp_path: Path) -> None:
    spine = Spine(tmp_path)
    witness = FakeWitness(spine.runs, spine.artifacts, spine.sandboxes)
    run_id = spine.start(
        {
            "source": {
                "inline": {"files": {"test_a.py": "def test_g(): pass\ndef test_b(): assert 0\n"}}
            },
            "suites": [{"name": "unit", "framework": "pytest"}],
        }
    )
    spine.drive(run_id)
    notice: Notification = spine.reduce(run_id)
    witness.notices = [notice.message]
    truth = {"test_a.py::test_g": Outcome.PASSED, "test_a.py::test_b": Outcome.FAILED}
    world = witness.look(spine.clock.now())
    assert len(world.runs[0].attempts) == 2
    check(world, over=True, truth=truth, baits=[BAIT])


@pytest.mark.parametrize(
    ("words", "edit"),
    [
        ("a test is missing", lambda d: d["tests"].pop()),
        ("a test is told twice", lambda d: d["tests"].append(d["tests"][0])),
        ("a test has no result", lambda d: d["tests"][0].update(result="running")),
        ("a test was never planned", lambda d: d["tests"][0].update(test_id="other")),
    ],
)
def test_one_result_for_each_planned_test(words: str, edit: Callable[[Any], Any]) -> None:
    assert Invariant.ONE_RESULT in broken_view(edited(GOOD, edit)), words


def test_a_finished_run_has_a_report() -> None:
    assert broken_view(replace(GOOD, reports=[])) == {Invariant.ONE_RESULT}


def test_a_run_that_never_finishes_is_noticed_once_all_is_over() -> None:
    view = replace(GOOD, runs=GOOD.runs[:1], reports=[])
    assert broken_view(view) == set()
    world = replace(WORLD, runs=[view], notices=None, queues=())
    assert told(violations(world, over=True)) == {Invariant.ONE_RESULT}


def test_state_and_outcome_of_an_attempt_agree() -> None:
    row = attempt("good", Outcome.PASSED, state=AttemptState.RUNNING)
    assert Invariant.ONE_RESULT in broken_view(with_row(GOOD, 0, row))


def test_a_recorded_outcome_that_changes_is_noticed() -> None:
    first = attempt("bad", Outcome.FAILED)
    errored = attempt("bad", Outcome.ERRORED, fault=Fault.LOST)
    assert Invariant.FINAL in broken_view(with_row(GOOD, 1, errored, first))


def test_an_outcome_that_goes_away_is_noticed() -> None:
    first = attempt("bad", Outcome.FAILED)
    again = first.model_copy(update={"outcome": None, "state": AttemptState.RUNNING})
    assert Invariant.FINAL in broken_view(with_row(GOOD, 1, first, again))


def test_a_finished_run_that_changes_is_noticed() -> None:
    later = GOOD.run.model_copy(update={"message": "something else"})
    assert broken_view(replace(GOOD, runs=[GOOD.run, later])) == {Invariant.FINAL}


def test_a_report_that_is_written_otherwise_is_noticed() -> None:
    earlier = GOOD.reports[0] + b"\n"
    assert broken_view(replace(GOOD, reports=[earlier, *GOOD.reports])) == {Invariant.FINAL}


@pytest.mark.parametrize(
    "changes",
    [{"exit_code": None}, {"exit_code": 1}, {"sandbox_id": None}, {"fault": Fault.EVIDENCE}],
    ids=str,
)
def test_a_pass_without_proof_is_noticed(changes: dict[str, Any]) -> None:
    row = attempt("good", Outcome.PASSED, **changes)
    assert broken_view(with_row(GOOD, 0, row)) == {Invariant.PROOF}


def test_a_test_may_pass_in_a_process_in_which_another_one_failed() -> None:
    good = attempt("good", Outcome.PASSED, exit_code=1, sandbox_id="one")
    bad = attempt("bad", Outcome.FAILED, sandbox_id="one")
    assert broken_view(a_run_view(good, bad)) == set()


def test_a_pass_of_a_test_that_really_fails_is_noticed() -> None:
    view = a_run_view(attempt("good", Outcome.PASSED), attempt("bad", Outcome.PASSED))
    assert broken_view(view) == {Invariant.PROOF}


def test_a_failure_of_a_test_that_really_passes_is_noticed() -> None:
    view = a_run_view(attempt("good", Outcome.FAILED), attempt("bad", Outcome.FAILED))
    assert broken_view(view) == {Invariant.PROOF}


def test_an_errored_test_says_nothing_false() -> None:
    lost = attempt("good", Outcome.ERRORED, fault=Fault.LOST)
    assert broken_view(a_run_view(lost, attempt("bad", Outcome.FAILED))) == set()


def test_a_pass_that_no_attempt_has_is_noticed() -> None:
    view = edited(GOOD, lambda d: d["tests"][1].update(result="passed"))
    assert Invariant.PROOF in broken_view(view)


@pytest.mark.parametrize(
    ("expires_at", "finished", "over", "wrong"),
    [
        (None, False, False, True),
        (900.0, False, False, True),
        (950.0, False, False, False),
        (2000.0, True, False, True),
        (2000.0, False, False, False),
        (2000.0, False, True, True),
    ],
)
def test_sandboxes_end_with_their_owner_or_their_time(
    expires_at: float | None, finished: bool, over: bool, wrong: bool
) -> None:
    view = GOOD if finished else replace(GOOD, runs=GOOD.runs[:1])
    sandbox = LiveSandbox("sb-good-1", expires_at)
    world = replace(WORLD, runs=[view], sandboxes=[sandbox], notices=None)
    assert (Invariant.NO_ORPHANS in told(violations(world, over=over))) is wrong


def test_a_sandbox_whose_keeper_vanished_may_live_until_its_time() -> None:
    for expires_at, expected in ((2000.0, set()), (900.0, {Invariant.NO_ORPHANS})):
        world = replace(WORLD, sandboxes=[LiveSandbox("sb-good-1", expires_at)])
        assert told(violations(world, broken=True)) == expected
        assert told(violations(world, broken=True, over=True)) == {Invariant.NO_ORPHANS}


def test_a_sandbox_that_no_attempt_names_is_noticed_once_all_is_over() -> None:
    world = replace(WORLD, sandboxes=[LiveSandbox("unknown", 2000.0)])
    assert told(violations(world)) == set()
    assert told(violations(world, over=True)) == {Invariant.NO_ORPHANS}


@pytest.mark.parametrize(
    "queue",
    [QueueView("launch", 1), QueueView("dead", 1, ['{"run_id": "x"}']), QueueView("d", 1, ["{"])],
    ids=str,
)
def test_a_message_that_is_left_is_noticed_once_all_is_over(queue: QueueView) -> None:
    world = replace(WORLD, queues=[queue])
    assert told(violations(world)) == set()
    assert told(violations(world, over=True)) == {Invariant.QUEUES}


@pytest.mark.parametrize(
    ("words", "view"),
    [
        ("total", edited(GOOD, lambda d: d["summary"].update(total=3))),
        ("a count", edited(GOOD, lambda d: d["summary"].update(passed=2, failed=0))),
        ("the run's summary", changed_run(GOOD, summary={"total": 0})),
        ("the conclusion", changed_run(GOOD, conclusion=Conclusion.PASSED)),
        ("a row not told", edited(GOOD, lambda d: d["tests"][0].update(attempts=[]))),
        ("a row that is gone", replace(GOOD, attempts=GOOD.attempts[:2])),
        ("an outcome", with_row(GOOD, 2, attempt("bad", Outcome.ERRORED, 2, fault=Fault.LOST))),
        ("not its attempts'", edited(GOOD, lambda d: d["tests"][1].update(result="errored"))),
        ("junit.xml", replace(GOOD, junit=b"<testsuites><testcase/></testsuites>")),
    ],
)
def test_documents_and_ledger_count_the_same(words: str, view: RunView) -> None:
    assert Invariant.COUNTS in broken_view(view), words


@pytest.mark.parametrize(
    ("words", "notices", "over"),
    [
        ("two endings", [a_notice(GOOD), a_notice(GOOD, version=2)], False),
        ("another conclusion", [a_notice(GOOD, conclusion="passed")], False),
        ("another summary", [a_notice(GOOD, summary={})], False),
        ("nothing", [], True),
    ],
)
def test_subscribers_are_told_one_ending(words: str, notices: list[str], over: bool) -> None:
    found = told(violations(replace(WORLD, notices=notices), over=over))
    assert found == {Invariant.ONE_NOTICE}, words


@pytest.mark.parametrize("filler", [b"", b"x", b"xy"], ids=len)
def test_a_bait_is_found_in_every_encoding(filler: bytes) -> None:
    encoded = [
        filler + BAIT.encode() + b"!",
        base64.b64encode(filler + BAIT.encode() + b"tail"),
        BAIT.encode().hex().encode(),
        b"?q=hk_live_BAIT%2F%C3%A9%2B1",
    ]
    for text in encoded:
        world = replace(WORLD, texts=[("log", text)])
        assert told(violations(world, baits=[BAIT])) == {Invariant.NO_BAIT}, text
    assert all(len(form) > 10 for form in forms_of(BAIT))


def test_an_attempt_that_executed_twice_is_noticed() -> None:
    world = replace(WORLD, executions={("r", "good", 1): 2})
    assert told(violations(world)) == {Invariant.ONCE}


def test_rows_of_other_things_than_runs_are_no_history() -> None:
    image = {"pk": {"S": "image#glovebox-1"}, "sk": {"S": "run#r"}, "uses": {"N": "1"}}
    batch = {"pk": {"S": "run#r"}, "sk": {"S": "batch#1-00000"}, "owner": {"S": "o"}}
    for row in (image, batch):
        History().see_row(row)


def test_a_complaint_names_the_invariant_and_the_run() -> None:
    with pytest.raises(AssertionError, match=r"I1 ONE_RESULT: r: finished without a report"):
        check(replace(WORLD, runs=[replace(GOOD, reports=[])], notices=None))

"""The harness of `make chaos` can fail: a forged world turns each of its figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from glovebox.domain.attempt import Attempt, AttemptState, Fault
from glovebox.domain.outcome import Outcome, RunState
from glovebox.domain.plan import PlannedTest
from glovebox.domain.report import make_report
from glovebox.domain.run import Run

from tests.faults.chaos.account import Figures, SandboxLife, Seen, figures
from tests.faults.chaos.functions import copy_stack
from tests.faults.chaos.proxy import _unpacked
from tests.faults.chaos.soak import Mark, growth
from tests.faults.chaos.suite import BEHAVIOURS, behaviours, files_of, manifest, test_ids
from tests.faults.world import LiveSandbox, RunView, World

NAMES = ["pass", "fail", "flaky", "vanish"]
FILES = files_of(NAMES)
IDS = {name: f"test_chaos.py::test_{name}_{index}" for index, name in enumerate(NAMES)}
PASSED, FAILED, ERRORED = Outcome.PASSED, Outcome.FAILED, Outcome.ERRORED


def attempt(name: str, number: int, outcome: Outcome, **changes: Any) -> Attempt:
    planned = PlannedTest(suite="unit", test_id=IDS[name])
    return Attempt(
        run_id="r",
        suite="unit",
        test_id=planned.test_id,
        key=planned.key,
        number=number,
        round=number,
        state=AttemptState.FINISHED,
        outcome=outcome,
        fault=Fault.EVIDENCE if outcome is ERRORED else None,
        exit_code=0 if outcome is PASSED else 1,
        sandbox_id=f"sb-{name}-{number}",
        started_at=100.0,
        changed_at=110.0,
    ).model_copy(update=changes)


TRUE_ROWS = [
    attempt("pass", 1, PASSED),
    attempt("fail", 1, FAILED),
    attempt("fail", 2, FAILED),
    attempt("flaky", 1, FAILED),
    attempt("flaky", 2, PASSED),
    *(attempt("vanish", number, ERRORED) for number in (1, 2, 3)),
]


def seen(rows: list[Attempt], **changes: Any) -> Seen:
    """A run that was told as these rows have it, and executed as it had to be."""
    planned = [PlannedTest(suite="unit", test_id=test_id) for test_id in IDS.values()]
    accepted = Run(run_id="r", name="chaos-0", door="api", created_at=1.0, parallelism_asked=1)
    report = make_report(accepted, planned, rows, finished_at=200.0)
    finished = accepted.model_copy(
        update={
            "state": RunState.FINISHED,
            "conclusion": report.conclusion,
            "summary": report.summary.model_dump(),
        }
    )
    view = RunView(
        runs=[accepted, finished],
        planned=planned,
        attempts=[[row] for row in rows],
        reports=[report.model_dump_json().encode()],
    )
    return Seen(
        world=World(now=300.0, runs=[view]),
        expected={"chaos-0": test_ids(FILES)},
        executed={(row.run_id, row.test_id, row.number): 1 for row in TRUE_ROWS},
        **changes,
    )


def non_zero(told: Figures) -> set[str]:
    return {name for name, words in told.zero.items() if words}


def with_view(made: Seen, **changes: Any) -> Seen:
    [view] = made.world.runs
    return replace(made, world=replace(made.world, runs=[replace(view, **changes)]))


def test_a_true_account_holds_and_needs_no_extra_execution() -> None:
    told = figures(seen(TRUE_ROWS))
    assert told.holds, told.lines()
    assert (told.tests, told.executions, told.extra_executions, told.given_up) == (4, 8, 0, 0)


@pytest.mark.parametrize(
    ("name", "number"), [("fail", 2), ("flaky", 1), ("vanish", 3)], ids=["fail", "flaky", "vanish"]
)
def test_a_pass_that_cannot_be_is_a_false_pass(name: str, number: int) -> None:
    forged = [row for row in TRUE_ROWS if (row.test_id, row.number) != (IDS[name], number)]
    told = figures(seen([*forged, attempt(name, number, PASSED)]))
    assert non_zero(told) == {"false passes"}
    assert not told.holds


def test_a_pass_in_the_report_alone_is_a_false_pass() -> None:
    made = seen(TRUE_ROWS)
    document = json.loads(made.world.runs[0].reports[0])
    for test in document["tests"]:
        test["result"] = "passed"
    told = figures(with_view(made, reports=[json.dumps(document).encode()]))
    assert "false passes" in non_zero(told)


def test_a_time_limit_counts_only_where_the_time_was_over() -> None:
    rows = TRUE_ROWS[:-1]
    over = attempt("vanish", 3, Outcome.TIMED_OUT, phases={"run": 20.1})
    told = figures(seen([*rows, over]))
    assert (non_zero(told), told.overtaken) == (set(), 1)
    early = attempt("vanish", 3, Outcome.TIMED_OUT, phases={"run": 3.0})
    assert non_zero(figures(seen([*rows, early]))) == {"false passes"}


def test_a_test_that_the_report_leaves_out_is_lost() -> None:
    made = seen(TRUE_ROWS)
    document = json.loads(made.world.runs[0].reports[0])
    document["tests"].pop()
    assert "lost results" in non_zero(
        figures(with_view(made, reports=[json.dumps(document).encode()]))
    )


def test_a_test_that_was_handed_in_and_never_planned_is_lost() -> None:
    made = seen(TRUE_ROWS)
    expected = {"chaos-0": {*made.expected["chaos-0"], "test_chaos.py::test_pass_77"}}
    assert non_zero(figures(replace(made, expected=expected))) == {"lost results"}


def test_a_run_that_never_ended_or_never_was_is_lost() -> None:
    made = seen(TRUE_ROWS)
    unfinished = with_view(made, runs=made.world.runs[0].runs[:1])
    assert "lost results" in non_zero(figures(unfinished))
    missing = replace(made, expected={**made.expected, "chaos-1": test_ids(FILES)})
    assert non_zero(figures(missing)) == {"lost results"}


def test_a_result_that_was_something_else_before_is_changed() -> None:
    made = seen(TRUE_ROWS)
    rows = [[row] for row in TRUE_ROWS]
    rows[0] = [attempt("pass", 1, FAILED), attempt("pass", 1, PASSED)]
    assert "changed results" in non_zero(figures(with_view(made, attempts=rows)))


def test_an_attempt_that_executed_twice_or_unclaimed_is_told() -> None:
    made = seen(TRUE_ROWS)
    key = ("r", IDS["pass"], 1)
    twice = replace(made, executed={**made.executed, key: 2})
    assert non_zero(figures(twice)) == {"double executions"}
    unclaimed = replace(made, executed={**made.executed, ("r", IDS["pass"], 2): 1})
    assert non_zero(figures(unclaimed)) == {"double executions"}
    assert figures(unclaimed).extra_executions == 1


def test_a_sandbox_that_outlives_all_is_an_orphan() -> None:
    made = seen(TRUE_ROWS)
    world = replace(made.world, sandboxes=[LiveSandbox("sb", 400.0)])
    assert non_zero(figures(replace(made, world=world))) == {"orphan sandboxes"}


def test_orphan_seconds_count_from_the_last_use() -> None:
    lives = [
        SandboxLife("sb-pass-1", first_seen=100.0, last_seen=150.0),  # its attempt ended at 110
        SandboxLife("unknown", first_seen=100.0, last_seen=130.0),
        SandboxLife("asked", first_seen=100.0, last_seen=130.0),
    ]
    told = figures(seen(TRUE_ROWS, lives=lives, last_asked={"asked": 129.5}))
    assert told.orphan_seconds == pytest.approx(40 + 30)


def test_detection_and_recovery_count_from_the_harm() -> None:
    lost = attempt("pass", 1, ERRORED, fault=Fault.LOST)
    after = attempt("pass", 2, PASSED, started_at=120.0, changed_at=125.0)
    rows = [lost, after, *TRUE_ROWS[1:]]
    by_sandbox = figures(seen(rows, harmed_at={"sb-pass-1": 104.0}))
    assert (by_sandbox.detection, by_sandbox.recovery) == ([6.0], [21.0])
    by_crash = figures(seen(rows[:2], crashed_at=[90.0, 107.0, 500.0]))
    assert (by_crash.detection, by_crash.recovery) == ([3.0], [18.0])


def test_no_test_at_all_is_no_success() -> None:
    assert not figures(Seen(World(now=1.0), {}, {})).holds


@pytest.mark.parametrize("count", [1, 20, 125])
def test_a_suite_holds_what_was_asked_for_and_the_rare_ones_first(count: int) -> None:
    names = behaviours(count, seed=7)
    assert len(names) == count
    assert names == behaviours(count, seed=7)
    if count >= 20:
        assert set(names) == set(BEHAVIOURS)
    assert len(test_ids(files_of(names))) == count
    assert manifest("n", files_of(names))["source"]["inline"]["files"]


def test_a_copied_stack_is_the_product_behind_faults(tmp_path: Path) -> None:
    template = copy_stack(tmp_path, seed=1, rate=0.1, crash_rate=0.0, record="r")
    assert template.is_file()
    for function in (tmp_path / "functions").iterdir():
        if function.is_dir():
            assert "lambda_handler" in (function / "glovebox_app.py").read_text()
            assert json.loads((function / "chaos.json").read_text())["function"] == function.name


def test_a_gzipped_upload_is_read_as_well() -> None:
    import gzip

    body = b"--x\r\n\r\n" + gzip.compress(b"one ") + gzip.compress(b"two") + b"\r\n--x--"
    assert _unpacked(body) == b"one two"


def marks(count: int, **growing: float) -> list[Mark]:
    """One mark a minute; what is named grows by so much at each."""
    flat: dict[str, float] = {
        "memory_mb": 300.0,
        "threads": 40,
        "descriptors": 60,
        "server_memory_mb": 40.0,
        "server_descriptors": 90,
        "finished_runs": 0,
        "workers": 3,
        "workers_memory_mb": 200.0,
    }
    made = []
    for minute in range(count):
        values = {name: value + growing.get(name, 0.0) * minute for name, value in flat.items()}
        made.append(Mark(at=60.0 * minute, **values))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    "growing",
    [{"memory_mb": 8.0}, {"threads": 2}, {"descriptors": 2}, {"server_memory_mb": 8.0}],
    ids=lambda growing: next(iter(growing)),
)
def test_what_grows_is_told(growing: dict[str, float]) -> None:
    assert growth(marks(30)) == []
    [words] = growth(marks(30, **growing))
    assert words.startswith(next(iter(growing)))


def test_more_sandboxes_under_way_for_a_while_are_no_growth() -> None:
    busy = marks(30, server_descriptors=2)
    quiet = [mark if index % 5 else marks(30)[index] for index, mark in enumerate(busy)]
    assert growth(quiet) == []


def test_what_finished_runs_leave_behind_is_no_growth() -> None:
    assert growth(marks(30, memory_mb=5.0, finished_runs=1)) == []

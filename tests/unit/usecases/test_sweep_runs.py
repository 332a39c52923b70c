"""Runs that nobody drives any more are ended once, and their subscribers are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from glovebox.domain.attempt import Attempt, AttemptState
from glovebox.domain.errors import StoreConflict
from glovebox.domain.outcome import Conclusion, Outcome
from glovebox.usecases.reduce import ReduceRun
from glovebox.usecases.sweep import GRACE_SECONDS, SweepRuns

from tests.fakes import FakeClock, MemoryNotices
from tests.unit.usecases.driver import Spine

SUITES = [{"name": f"s{n}", "framework": "command", "command": ["true"]} for n in range(2)]


class Net:
    """A spine whose runs can be abandoned, and the sweep over it."""

    def __init__(self, folder: Path) -> None:
        self.spine = Spine(folder)
        self.clock = FakeClock()
        self.spine.accept.clock = self.clock
        self.notices = MemoryNotices()
        reduce = ReduceRun(self.spine.runs, self.spine.artifacts, self.clock)
        self.sweep = SweepRuns(
            self.spine.runs, self.spine.workflow, self.clock, reduce, self.notices
        )

    def start(self, run_id: str) -> str:
        source = {"inline": {"files": {"a.txt": "a"}}}
        return self.spine.start({"source": source, "suites": SUITES}, run_id)

    def abandon(self, run_id: str) -> str:
        self.start(run_id)
        self.spine.workflow.driven.discard(run_id)
        return run_id

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message, _ in self.notices.published]


@pytest.fixture
def net(tmp_path: Path) -> Net:
    return Net(tmp_path)


def test_a_run_that_nobody_drives_is_ended_and_announced_once(net: Net) -> None:
    net.abandon("lost")
    net.clock.advance(GRACE_SECONDS)
    swept = net.sweep(lambda: 300)
    assert (swept.ended, swept.told, swept.failed, swept.complete) == (["lost"], ["lost"], {}, True)
    run = net.spine.runs.run("lost")
    assert run.conclusion is Conclusion.ERRORED
    assert "nobody drives" in (run.message or "")
    again = net.sweep(lambda: 300)
    assert (again.ended, again.told) == ([], [])
    [told] = net.told()
    assert (told["event"], told["run_id"], told["conclusion"]) == (
        "run.finished",
        "lost",
        "errored",
    )


def test_it_is_announced_in_the_words_of_the_state_machine(net: Net) -> None:
    net.abandon("lost")
    net.clock.advance(GRACE_SECONDS)
    net.sweep(lambda: 300)
    as_reduced = net.spine.reduce("lost")
    assert net.notices.published == [(as_reduced.message, as_reduced.attributes)]
    assert set(as_reduced.attributes) == {"event", "name", "conclusion", "changed"}


def test_runs_that_are_driven_or_have_just_been_accepted_are_left_alone(net: Net) -> None:
    net.start("driven")
    net.clock.advance(GRACE_SECONDS)
    net.abandon("young")
    net.clock.advance(GRACE_SECONDS - 1)
    assert net.sweep(lambda: 300).ended == []
    assert [run.run_id for run in net.spine.runs.open_runs()] == ["driven", "young"]


def test_results_that_were_recorded_before_stay(net: Net) -> None:
    run_id = net.abandon("lost")
    net.spine.prepare(run_id)
    first = net.spine.messages(net.spine.plan(run_id), run_id)[0]
    batch = json.loads(net.spine.artifacts.objects[first.key])
    half = json.dumps({**batch, "groups": batch["groups"][:1]})
    net.spine.artifacts.objects[first.key] = half.encode()
    net.spine.launcher()(first, lambda: 900.0)
    recorded = {a.test_id: a.outcome for a in net.spine.runs.attempts(run_id)}
    assert list(recorded.values()) == [Outcome.PASSED]
    net.clock.advance(GRACE_SECONDS)
    net.sweep(lambda: 300)
    results = {test.test_id: test.result for test in net.spine.report(run_id).tests}
    assert len(results) == 2
    for test_id, result in results.items():
        assert result is recorded.get(test_id, Outcome.ERRORED)


def test_subscribers_who_could_not_be_told_are_told_at_the_next_sweep(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.abandon("lost")
    net.clock.advance(GRACE_SECONDS)

    def broken(message: str, attributes: dict[str, str]) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(net.notices, "publish", broken)
        swept = net.sweep(lambda: 300)
    assert (swept.ended, swept.told) == (["lost"], [])
    assert "ConnectionError" in swept.failed["lost"]
    assert net.sweep(lambda: 300).told == ["lost"]
    assert [told["run_id"] for told in net.told()] == ["lost"]


def test_a_run_that_cannot_be_ended_keeps_no_other_waiting(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in ("a", "b", "c"):
        net.abandon(run_id)
    net.clock.advance(GRACE_SECONDS)
    driven = net.spine.workflow.is_driven

    def is_driven(run_id: str) -> bool:
        if run_id == "b":
            raise ConnectionError
        return driven(run_id)

    with monkeypatch.context() as patched:
        patched.setattr(net.spine.workflow, "is_driven", is_driven)
        swept = net.sweep(lambda: 300)
    assert (swept.ended, set(swept.failed)) == (["a", "c"], {"b"})
    assert net.sweep(lambda: 300).ended == ["b"]


def test_what_a_sweep_has_no_time_for_is_the_next_ones(net: Net) -> None:
    for number in range(4):
        net.abandon(f"r{number}")
    net.clock.advance(GRACE_SECONDS)
    seconds = iter([300.0, 200.0, 10.0])
    swept = net.sweep(lambda: next(seconds))
    assert (swept.ended, swept.complete) == (["r0", "r1"], False)
    assert net.sweep(lambda: 300).ended == ["r2", "r3"]


def test_a_late_attempt_does_not_change_the_end(net: Net) -> None:
    run_id = net.abandon("lost")
    net.spine.prepare(run_id)
    net.spine.plan(run_id)
    net.clock.advance(GRACE_SECONDS)
    net.sweep(lambda: 300)
    report = net.spine.report(run_id)
    test = report.tests[0]
    late = Attempt(
        run_id=run_id,
        suite=test.suite,
        test_id=test.test_id,
        key="late",
        number=1,
        round=1,
        state=AttemptState.FINISHED,
        outcome=Outcome.PASSED,
    )
    with pytest.raises(StoreConflict):
        net.spine.runs.open_attempts([late])
    net.sweep(lambda: 300)
    assert json.loads(net.spine.reduce(run_id).message) == net.told()[0]
    assert net.spine.report(run_id) == report

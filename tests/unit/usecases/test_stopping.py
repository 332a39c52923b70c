"""Cancel, time limit, fail_fast: nothing new begins, what lives is ended, what is known stays."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from glovebox.domain.errors import RunStopped
from glovebox.domain.outcome import Conclusion, Outcome, StopReason
from glovebox.usecases.launch import LaunchMessage

from tests.unit.usecases.driver import Spine

SLEEPERS = "import time\n" + "".join(f"def test_{n}(): time.sleep({n} * 0.4)\n" for n in range(8))


@pytest.fixture
def spine(tmp_path: Path) -> Spine:
    return Spine(tmp_path)


def started(spine: Spine, code: str, **manifest: Any) -> str:
    suite = {"name": "unit", "framework": "pytest", **manifest.pop("suite", {})}
    source = {"inline": {"files": {"test_a.py": code}}}
    return spine.start({"source": source, "suites": [suite], **manifest})


def stop_soon(spine: Spine, run_id: str, seconds: float = 1.0) -> None:
    arguments = [run_id, StopReason.CANCELLED]
    threading.Timer(seconds, spine.runs.request_stop, arguments).start()


def test_a_run_that_is_cancelled_during_its_set_up_ends_at_once(spine: Spine) -> None:
    run_id = started(spine, "", image={"setup": ["sleep 100"]})
    stop_soon(spine, run_id)
    with pytest.raises(RunStopped):
        spine.prepare(run_id)
    assert not spine.sandboxes.live
    spine.reduce(run_id, broken="RunStopped: the run was stopped")
    assert spine.report(run_id).conclusion is Conclusion.CANCELLED


def test_a_run_that_is_cancelled_while_its_tests_are_listed_ends_at_once(spine: Spine) -> None:
    run_id = started(spine, "import time\ntime.sleep(100)\n")
    spine.prepare(run_id)
    stop_soon(spine, run_id)
    with pytest.raises(RunStopped):
        spine.plan(run_id)
    assert not spine.sandboxes.live


def test_a_set_up_that_outlasts_the_runs_time_is_ended_and_told_as_that(spine: Spine) -> None:
    run_id = started(spine, "", timeout="1s", suite={"timeout": "1s"}, image={"setup": ["sleep 9"]})
    with pytest.raises(RunStopped):
        spine.prepare(run_id)
    assert not spine.sandboxes.live
    spine.reduce(run_id, broken="RunStopped: the run was stopped")
    assert spine.report(run_id).conclusion is Conclusion.TIMED_OUT


def test_a_run_that_was_cancelled_before_it_was_prepared_makes_no_sandbox(spine: Spine) -> None:
    run_id = started(spine, "", image={"setup": ["true"]})
    spine.runs.request_stop(run_id, StopReason.CANCELLED)
    with pytest.raises(RunStopped):
        spine.prepare(run_id)
    assert not spine.sandboxes.requests


@pytest.mark.parametrize("ended_before", [0, 4, 7])
def test_cancelling_keeps_what_is_recorded_and_ends_the_rest(
    spine: Spine, ended_before: int
) -> None:
    run_id = started(spine, SLEEPERS)
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    known: dict[str, Outcome] = {}

    def cancel_once_so_many_ended() -> None:
        while True:
            ended = {a.key: a.outcome for a in spine.runs.attempts(run_id) if a.outcome}
            if len(ended) >= ended_before:
                break
        known.update(ended)
        for _ in range(2):
            spine.runs.request_stop(run_id, StopReason.CANCELLED)

    thread = threading.Thread(target=cancel_once_so_many_ended)
    thread.start()
    for message in spine.messages(answer, run_id):
        spine.launch(message)
    thread.join()
    made = len(spine.sandboxes.requests)
    assert spine.settle(run_id, 1).batches == 0
    spine.reduce(run_id)
    report = spine.report(run_id)
    assert not spine.sandboxes.live
    assert len(spine.sandboxes.requests) == made
    results = {test.key: test.result for test in report.tests}
    assert {key: results[key] for key in known} == known
    assert report.conclusion is Conclusion.CANCELLED
    assert set(results.values()) <= {Outcome.PASSED, Outcome.CANCELLED}


def test_cancelling_a_finished_run_changes_nothing(spine: Spine) -> None:
    run_id = started(spine, "def test_x(): pass\n")
    spine.drive(run_id)
    before = spine.report(run_id)
    spine.runs.request_stop(run_id, StopReason.CANCELLED)
    spine.reduce(run_id)
    assert spine.report(run_id) == before
    assert before.conclusion is Conclusion.PASSED


def test_messages_of_a_cancelled_run_that_wait_in_the_queue_do_nothing(spine: Spine) -> None:
    run_id = started(spine, SLEEPERS)
    spine.prepare(run_id)
    [message] = spine.messages(spine.plan(run_id), run_id)
    spine.runs.request_stop(run_id, StopReason.CANCELLED)
    before = len(spine.sandboxes.requests)
    for turn in range(3):
        spine.turn(message.model_copy(update={"turn": turn}))
    assert len(spine.sandboxes.requests) == before
    assert isinstance(message, LaunchMessage)


def test_fail_fast_waits_for_the_retries_of_a_test(spine: Spine) -> None:
    code = "import os\ndef test_a(): assert os.environ['GLOVEBOX_ATTEMPT'] == '2'\n"
    code += "".join(f"def test_{number}(): pass\n" for number in range(6))
    run_id = started(spine, code, fail_fast=True, parallelism=1, suite={"retries": 1})
    report = spine.drive(run_id)
    assert report.conclusion is Conclusion.PASSED
    assert report.summary.flaky == 1


def test_fail_fast_stops_the_other_launchers_as_soon_as_a_test_has_failed(spine: Spine) -> None:
    code = "import time\ndef test_a(): assert 0\ndef test_b(): time.sleep(60)\n"
    run_id = started(spine, code, fail_fast=True)
    report = spine.drive(run_id)
    assert report.conclusion is Conclusion.FAILED
    assert [test.result for test in report.tests] == [Outcome.FAILED, Outcome.CANCELLED]
    assert not spine.sandboxes.live

"""A batch that outlives its launcher goes on in the next one, on the same sandboxes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from glovebox.domain.attempt import Fault
from glovebox.domain.errors import NotFound, SandboxUnavailable
from glovebox.domain.outcome import Conclusion, Outcome, StopReason
from glovebox.domain.plan import RoundAnswer
from glovebox.ports import Claim
from glovebox.usecases.launch import MAX_WAITS, LaunchMessage

from tests.unit.usecases.driver import Spine

SLOW = """
import pathlib, time
def test_slow():
    pathlib.Path("began").open("a").write("x")
    time.sleep(4)
    assert pathlib.Path("began").read_text() == "x", "ran twice"
"""
MANY = "".join(f"def test_{number}(): pass\n" for number in range(8))


@pytest.fixture
def spine(tmp_path: Path) -> Spine:
    return Spine(tmp_path)


def planned(spine: Spine, code: str, **suite: object) -> tuple[str, RoundAnswer, LaunchMessage]:
    top: Any = suite.pop("top", {})
    run_id = spine.start(
        {
            **top,
            "source": {"inline": {"files": {"test_a.py": code}}},
            "suites": [{"name": "unit", "framework": "pytest", **suite}],
            "timeout": "24h",
        }
    )
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    spine.sandboxes.requests.clear()
    return run_id, answer, spine.messages(answer, run_id)[0]


def test_a_test_that_outlives_its_launcher_runs_once_and_to_its_end(spine: Spine) -> None:
    run_id, _, message = planned(spine, SLOW)
    spine.seconds_left = 2.0
    assert spine.launch(message) > 1
    assert spine.workflow.answered == [message.token]
    assert spine.settle(run_id, 1).batches == 0
    spine.reduce(run_id)
    [test] = spine.report(run_id).tests
    assert test.result is Outcome.PASSED, test.message
    assert len(spine.sandboxes.requests) == len(test.attempts) == 1
    assert not spine.sandboxes.live


SECRET = "hunter-22-hunter"
TELLING = """
import os, time
def test_slow():
    print("begins with " + os.environ.get("PASSWORD", ""))
    time.sleep(4)
    assert False, "ends with " + os.environ["PASSWORD"]
"""


def test_a_turn_that_goes_on_masks_what_an_earlier_one_gave(spine: Spine) -> None:
    run_id, message = telling(spine)
    spine.launch(message)
    [attempt] = spine.runs.attempts(run_id)
    assert attempt.outcome is Outcome.FAILED
    assert attempt.log is not None
    assert "begins with ***" in (attempt.log.text or "")
    assert SECRET not in attempt.model_dump_json()


def test_a_test_outlives_a_store_of_secrets_that_is_away_between_two_turns(spine: Spine) -> None:
    run_id, message = telling(spine)
    spine.turn(message)
    spine.secrets.down = True
    body, _ = spine.queue.sent.pop()
    spine.turn(LaunchMessage.model_validate_json(body))
    spine.secrets.down = False
    body, delay = spine.queue.sent.pop()
    assert delay > 0
    spine.launch(LaunchMessage.model_validate_json(body))
    [attempt] = spine.runs.attempts(run_id)
    assert attempt.outcome is Outcome.FAILED
    assert len(spine.sandboxes.requests) == 1


def test_a_secret_that_is_withdrawn_between_two_turns_ends_what_runs_with_it(spine: Spine) -> None:
    run_id, message = telling(spine)
    spine.turn(message)
    spine.secrets.values = {}
    body, _ = spine.queue.sent.pop()
    spine.turn(LaunchMessage.model_validate_json(body))
    [attempt] = spine.runs.attempts(run_id)
    assert (attempt.outcome, attempt.log) == (Outcome.ERRORED, None)
    assert "PASSWORD" in (attempt.message or "")
    assert not spine.sandboxes.live


def telling(spine: Spine) -> tuple[str, LaunchMessage]:
    spine.secrets.values = {"PASSWORD": SECRET}
    run_id, _, message = planned(spine, TELLING, top={"secrets": ["PASSWORD"]})
    spine.seconds_left = 2.0
    return run_id, message


def test_what_a_handed_on_attempt_took_is_its_processs_own_time(spine: Spine) -> None:
    run_id, _, message = planned(spine, SLOW)
    spine.seconds_left = 2.0
    spine.launch(message)
    [attempt] = spine.runs.attempts(run_id)
    assert attempt.phases["run"] >= 4
    assert set(attempt.phases) == {"create", "run"}
    assert (attempt.nonce, attempt.ends_at) == (None, None)


def test_groups_that_were_never_begun_are_handed_on_too(spine: Spine) -> None:
    run_id, _, message = planned(spine, MANY)

    def seconds_left() -> float:
        return 0.0 if any(a.outcome for a in spine.runs.attempts(run_id)) else 900.0

    spine.launcher()(message, seconds_left)
    [(body, delay)] = spine.queue.sent
    following = LaunchMessage.model_validate_json(body)
    assert (following.turn, following.token, delay) == (1, message.token, 0)
    assert following.left is not None
    assert 0 < len(following.left) < 8
    assert spine.workflow.answered == []
    spine.launch(following)
    spine.settle(run_id, 1)
    spine.reduce(run_id)
    assert spine.report(run_id).summary.passed == 8
    assert len(spine.sandboxes.requests) == 8


def test_an_earlier_turns_message_that_comes_again_does_nothing(spine: Spine) -> None:
    _, _, message = planned(spine, SLOW)
    spine.seconds_left = 2.0
    spine.turn(message)
    before = len(spine.queue.sent)
    assert spine.runs.claim_batch("r1", message.batch_id, "next", 60, 1) is Claim.OURS
    spine.turn(message)
    assert len(spine.queue.sent) == before
    assert spine.workflow.answered == []


def test_a_run_that_is_cancelled_between_two_turns_leaves_no_sandbox(spine: Spine) -> None:
    run_id, _, message = planned(spine, SLOW)
    spine.seconds_left = 2.0
    spine.turn(message)
    assert len(spine.sandboxes.live) == 1
    spine.runs.request_stop(run_id, StopReason.CANCELLED)
    body, _ = spine.queue.sent.pop()
    spine.turn(LaunchMessage.model_validate_json(body))
    assert not spine.sandboxes.live
    assert not spine.queue.sent
    assert [a.outcome for a in spine.runs.attempts(run_id)] == [Outcome.CANCELLED]
    assert spine.workflow.answered == [message.token]


def test_a_run_that_is_cancelled_while_a_turn_waits_ends_at_once(spine: Spine) -> None:
    run_id, _, message = planned(spine, SLOW.replace("sleep(4)", "sleep(60)"))
    timer = threading.Timer(1.0, spine.runs.request_stop, [run_id, StopReason.CANCELLED])
    spine.seconds_left = 12.0
    timer.start()
    spine.turn(message)
    assert [a.outcome for a in spine.runs.attempts(run_id)] == [Outcome.CANCELLED]
    assert not spine.sandboxes.live


def test_a_sandbox_that_is_gone_at_the_next_turn_is_a_lost_attempt(spine: Spine) -> None:
    run_id, _, message = planned(spine, SLOW)
    spine.seconds_left = 2.0
    spine.turn(message)
    [sandbox_id] = spine.sandboxes.live
    spine.sandboxes.kill(sandbox_id)
    body, _ = spine.queue.sent.pop()
    spine.turn(LaunchMessage.model_validate_json(body))
    [attempt] = spine.runs.attempts(run_id)
    assert attempt.outcome is Outcome.ERRORED
    assert spine.settle(run_id, 1).batches == 1


def test_a_batch_that_is_no_longer_waited_for_loses_its_attempts_and_cancels_none(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glovebox.usecases.launch.HEARTBEAT_SECONDS", 0.5)
    run_id, _, message = planned(spine, SLOW.replace("sleep(4)", "sleep(60)"))
    threading.Timer(1.0, spine.workflow.answered.append, [message.token]).start()
    spine.turn(message)
    assert not spine.sandboxes.live
    [attempt] = spine.runs.attempts(run_id)
    assert (attempt.outcome, attempt.fault) == (Outcome.ERRORED, Fault.LOST)
    assert spine.settle(run_id, 1).batches == 1, "it is attempted again: nobody cancelled it"


def test_a_batch_that_nobody_waits_for_is_not_begun(spine: Spine) -> None:
    _, _, message = planned(spine, MANY)
    spine.workflow.answered.append(message.token)
    spine.turn(message)
    assert not spine.sandboxes.requests


def test_a_batch_that_could_not_be_driven_may_be_taken_by_the_next_delivery(spine: Spine) -> None:
    run_id, _, message = planned(spine, MANY)
    key = message.key
    batch = spine.artifacts.objects.pop(key)
    with pytest.raises(NotFound):
        spine.turn(message)
    spine.artifacts.objects[key] = batch
    spine.launch(message)
    spine.settle(run_id, 1)
    spine.reduce(run_id)
    assert spine.report(run_id).conclusion is Conclusion.PASSED


def test_where_the_provider_asks_to_wait_the_batch_comes_again_later(spine: Spine) -> None:
    run_id, _, message = planned(spine, MANY)
    busy = SandboxUnavailable("429", retry_after_seconds=30)
    spine.sandboxes.failures = [busy] * 8
    spine.turn(message)
    [(body, delay)] = spine.queue.sent
    assert delay == 30
    assert not list(spine.runs.attempts(run_id)), "nothing is held against a test that waits"
    spine.queue.sent.clear()
    spine.clock.skip(delay)
    spine.launch(LaunchMessage.model_validate_json(body))
    assert spine.settle(run_id, 1).batches == 0
    spine.reduce(run_id)
    assert spine.report(run_id).summary.passed == 8


def test_a_provider_that_asks_to_wait_for_ever_does_not_keep_the_run_for_ever(spine: Spine) -> None:
    run_id, _, message = planned(spine, MANY)
    spine.sandboxes.failures = [SandboxUnavailable("429", retry_after_seconds=3600)] * 1000
    assert spine.launch(message) == MAX_WAITS + 1
    attempts = list(spine.runs.attempts(run_id))
    assert attempts
    assert {a.outcome for a in attempts} == {Outcome.ERRORED}
    assert spine.workflow.answered == [message.token]

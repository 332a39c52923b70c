"""The same request with the same Idempotency-Key is the same run, and no other request is."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.faults.api_door import ANN, BOB, Answer, ApiDoor, a_manifest

KEY = {"idempotency-key": "build-17"}


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ApiDoor:
    return ApiDoor(tmp_path, monkeypatch)


def post(door: ApiDoor, *, caller: str = ANN, key: Any = KEY, **changes: Any) -> Answer:
    body = {"manifest": a_manifest(**changes)}
    return door.call("POST", "/runs", body, caller=caller, headers=key)


def test_the_same_request_again_is_the_same_run(door: ApiDoor) -> None:
    first, again = post(door), post(door)
    assert (first.status, again.status) == (202, 202)
    assert first.body["run_id"] == again.body["run_id"]
    assert door.spine.workflow.started == [first.body["run_id"]]


def test_another_spelling_of_the_same_json_is_the_same_request(door: ApiDoor) -> None:
    first = post(door)
    turned = dict(reversed(a_manifest().items()))
    again = door.call("POST", "/runs", {"manifest": turned}, headers=KEY)
    assert again.body["run_id"] == first.body["run_id"]


def test_another_request_with_the_key_is_refused_and_harms_nothing(door: ApiDoor) -> None:
    run_id = post(door).body["run_id"]
    before = dict(door.spine.artifacts.objects)
    other = post(door, parallelism=3)
    assert (other.status, other.code) == (409, "idempotency_key_reused")
    assert door.spine.artifacts.objects == before
    assert door.spine.workflow.started == [run_id]


def test_the_key_is_the_callers_alone(door: ApiDoor) -> None:
    assert post(door).body["run_id"] != post(door, caller=BOB).body["run_id"]


def test_without_a_key_every_request_is_a_run(door: ApiDoor) -> None:
    assert post(door, key=None).body["run_id"] != post(door, key=None).body["run_id"]


def test_a_refused_manifest_binds_no_key(door: ApiDoor) -> None:
    assert post(door, colour="red").code == "manifest_invalid"
    assert post(door).status == 202


def test_requests_that_race_are_one_run(door: ApiDoor) -> None:
    answers: list[str] = []
    start = door.app.wired().start
    body = {"manifest": a_manifest()}

    def ask() -> None:
        text = '{"version": 1, "name": "n", "source": {"inline": {"files": {"a": ""}}}, "suites": '
        text += '[{"name": "unit", "framework": "pytest"}]}'
        answers.append(start(text, owner=ANN, idempotency_key="k", asked=body).run_id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert door.spine.workflow.started == [answers[0]]
    assert set(answers) == {answers[0]}


@pytest.mark.parametrize("key", ["", "a" * 101, "a b", "ä", "a\x00", "a\x7f", "\ud800"])
def test_a_key_is_short_and_visible(door: ApiDoor, key: str) -> None:
    answer = post(door, key={"idempotency-key": key})
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert door.spine.workflow.started == []


def test_a_start_that_failed_is_made_up_for_by_the_next_request(
    door: ApiDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Throttled(Exception):
        pass

    def throttled(run_id: str) -> None:
        raise Throttled

    with monkeypatch.context() as patch:
        patch.setattr(door.spine.workflow, "start", throttled)
        with pytest.raises(Throttled):
            post(door)
    run_id = post(door).body["run_id"]
    assert door.spine.workflow.started == [run_id]
    assert [run.run_id for run in door.spine.runs.open_runs()] == [run_id]

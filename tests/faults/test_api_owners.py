"""A run belongs to who started it: for everybody else it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from glovebox.domain.caller import STACK_OWNER

from tests.faults.api_door import ANN, BOB, ApiDoor, a_manifest

ROUTES = [
    ("GET", "/runs/{}"),
    ("GET", "/runs/{}/tests"),
    ("GET", "/runs/{}/tests/{{key}}"),
    ("GET", "/runs/{}/report"),
    ("POST", "/runs/{}/cancel"),
    ("POST", "/runs/{}/rerun"),
]


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ApiDoor:
    return ApiDoor(tmp_path, monkeypatch)


def finished_run(door: ApiDoor, caller: str) -> tuple[str, str]:
    run_id = door.start(caller)
    report = door.spine.drive(run_id)
    return run_id, report.tests[0].key


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_another_owners_run_is_the_same_404_as_none(door: ApiDoor, method: str, path: str) -> None:
    run_id, key = finished_run(door, ANN)
    body = {"select": "failed"} if path.endswith("rerun") else None
    asked = path.format(run_id).replace("{key}", key)
    assert door.call(method, asked, body, caller=ANN).status in (200, 202)
    theirs = door.call(method, asked, body, caller=BOB)
    nobodys = door.call(method, asked.replace(run_id, "20261123-120000-abcdef01"), body, caller=BOB)
    assert (theirs.status, theirs.code) == (404, "not_found")
    assert theirs.text == nobodys.text.replace("20261123-120000-abcdef01", run_id)


def test_another_owner_cannot_stop_a_run(door: ApiDoor) -> None:
    run_id = door.start(ANN)
    door.call("POST", f"/runs/{run_id}/cancel", caller=BOB)
    assert door.spine.runs.run(run_id).stop_reason is None


def test_a_caller_lists_its_own_runs_and_those_of_the_stack(door: ApiDoor) -> None:
    mine, theirs = door.start(ANN), door.start(BOB)
    row = door.spine.runs.run(mine)
    shared = row.model_copy(update={"run_id": "s3-0", "owner": STACK_OWNER})
    door.spine.runs.create_run(shared)
    for caller, own in ((ANN, mine), (BOB, theirs)):
        listed = [run["run_id"] for run in door.call("GET", "/runs", caller=caller).body["runs"]]
        assert sorted(listed) == sorted([own, "s3-0"])
        assert door.call("GET", "/runs/s3-0", caller=caller).status == 200


def test_every_session_of_a_role_sees_the_roles_runs(door: ApiDoor) -> None:
    one, other = (f"arn:aws:sts::123456789012:assumed-role/ci/{name}" for name in ("a", "b"))
    run_id = door.start(one)
    assert door.call("GET", f"/runs/{run_id}", caller=other).status == 200


@pytest.mark.parametrize("path", ["/runs", "/runs/x"])
def test_a_request_that_no_authoriser_saw_is_refused(door: ApiDoor, path: str) -> None:
    assert door.call("GET", path, caller=None).code == "forbidden"
    answer = door.call("POST", "/runs", {"manifest": a_manifest()}, caller=None)
    assert answer.status == 403
    assert door.spine.workflow.started == []


def test_what_another_uploaded_or_ran_is_no_source(door: ApiDoor) -> None:
    digest = {"sha256": "0" * 64, "size": 10}
    mine = door.call("POST", "/sources", digest, caller=ANN).body["source"]
    run_id = door.start(ANN, source={"s3": mine})
    for source in (mine, f"s3://data/runs/{run_id}/prepared.tar.gz", "s3://data/nothing"):
        manifest = a_manifest(source={"s3": source})
        answer = door.call("POST", "/runs", {"manifest": manifest}, caller=BOB)
        assert answer.code == "manifest_invalid", source
        [problem] = answer.body["error"]["details"]["problems"]
        assert problem["path"] == "source.s3"
    assert door.spine.workflow.started == [run_id]


def test_a_foreign_cursor_is_refused(door: ApiDoor) -> None:
    answer = door.call("GET", "/runs", query={"cursor": "zzz"})
    assert answer.status == 422
    assert answer.code == "invalid_request"

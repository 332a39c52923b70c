"""Repeating a run through the API: which tests, of which source, and when not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from glovebox.domain import keys
from glovebox.domain.report import Report

from tests.faults.api_door import Answer, ApiDoor

FILES = {
    "test_a.py": (
        "import os, pytest\n\n"
        "def test_good(): pass\n\n"
        "@pytest.mark.parametrize('word', ['a b', 'c::d'])\n"
        "def test_bad(word): assert 0\n"
    ),
    "test_b.py": "def test_other(): pass\n",
}
SUITES = [
    {"name": "first", "framework": "pytest", "paths": ["test_a.py"]},
    {"name": "second", "framework": "pytest", "paths": ["test_b.py"]},
    {"name": "third", "framework": "command", "command": ["false"]},
]


@dataclass
class Past:
    """A run that has ended, and what was kept of it."""

    door: ApiDoor
    run_id: str
    report: Report
    kept: dict[str, bytes]

    def again(self, select: str, **more: Any) -> Answer:
        return rerun(self.door, self.run_id, select, **more)

    def change(self, key: str, change: Any) -> None:
        """Change each test of a document."""
        document = json.loads(self.kept[key])
        for test in document["tests"]:
            change(test)
        self.objects[key] = json.dumps(document).encode()

    @property
    def objects(self) -> dict[str, bytes]:
        return self.door.spine.artifacts.objects

    @property
    def report_key(self) -> str:
        return keys.report_key(self.run_id, "report.json")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    with pytest.MonkeyPatch.context() as patch:
        door = ApiDoor(tmp_path_factory.mktemp("door"), patch)
        run_id = door.start(suites=SUITES, source={"inline": {"files": FILES}})
        report = door.spine.drive(run_id)
        yield Past(door, run_id, report, dict(door.spine.artifacts.objects))


@pytest.fixture
def past(once: Past) -> Past:
    once.objects.update(once.kept)
    return once


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ApiDoor:
    return ApiDoor(tmp_path, monkeypatch)


def rerun(door: ApiDoor, run_id: str, select: str, **more: Any) -> Answer:
    return door.call("POST", f"/runs/{run_id}/rerun", {"select": select}, **more)


def test_failed_repeats_exactly_what_did_not_pass(past: Past) -> None:
    answer = past.again("failed")
    assert (answer.status, answer.body["rerun_of"]) == (202, past.run_id)
    after = past.door.spine.drive(answer.body["run_id"])
    not_good = {test.key for test in past.report.tests if test.result != "passed"}
    assert {test.key for test in after.tests} == not_good
    assert len(not_good) == 3
    told = past.door.call("GET", f"/runs/{answer.body['run_id']}").body
    assert told["rerun_of"] == past.run_id


def test_all_repeats_the_manifest_as_it_was(past: Past) -> None:
    again = past.again("all").body["run_id"]
    first = past.objects[keys.manifest_key(past.run_id)]
    assert past.objects[keys.manifest_key(again)] == first


def test_missing_repeats_what_no_attempt_could_tell_of(past: Past) -> None:
    def change(test: dict[str, Any]) -> None:
        """test_good was never attempted, one test_bad was lost after it had failed once."""
        if test["test_id"].endswith("test_good"):
            test.update(result="cancelled", attempts=[])
        if "a b" in test["test_id"]:
            lost = {**test["attempts"][0], "outcome": "errored"}
            test.update(result="errored", attempts=[*test["attempts"], lost])
        if test["suite"] == "second":
            test.update(result="errored")
            test["attempts"][0]["outcome"] = "errored"

    past.change(past.report_key, change)
    again = past.again("missing").body["run_id"]
    manifest = json.loads(past.objects[keys.manifest_key(again)])
    chosen = {suite["name"]: suite["tests"] for suite in manifest["suites"]}
    assert chosen == {"first": ["test_a.py::test_good"], "second": ["test_b.py::test_other"]}


def test_a_suite_that_could_not_be_listed_is_looked_for_again(door: ApiDoor) -> None:
    broken = {"test_a.py": "import nothing_like_it\n"}
    run_id = door.start(suites=SUITES[:1], source={"inline": {"files": broken}})
    before = door.spine.drive(run_id)
    again = rerun(door, run_id, "failed").body["run_id"]
    objects = door.spine.artifacts.objects
    assert objects[keys.manifest_key(again)] == objects[keys.manifest_key(run_id)]
    after = door.spine.drive(again)
    assert [test.result for test in after.tests] == ["errored"]
    assert after.tests[0].key == before.tests[0].key


@pytest.mark.parametrize("select", ["failed", "missing"])
def test_nothing_to_repeat_is_refused(past: Past, select: str) -> None:
    past.change(past.report_key, lambda test: test.update(result="passed"))
    started = list(past.door.spine.workflow.started)
    answer = past.again(select)
    assert (answer.status, answer.code) == (409, "nothing_selected")
    assert past.door.spine.workflow.started == started


def test_an_unfinished_run_can_be_repeated_whole_only(door: ApiDoor) -> None:
    run_id = door.start()
    assert rerun(door, run_id, "failed").code == "run_not_finished"
    assert rerun(door, run_id, "all").status == 202


def test_a_source_that_is_gone_is_told_before_anything_starts(door: ApiDoor) -> None:
    asked = {"sha256": "0" * 64, "size": 10}
    source = door.call("POST", "/sources", asked).body["source"]
    run_id = door.start(source={"s3": source})
    assert rerun(door, run_id, "all").code == "source_gone"
    door.spine.artifacts.put(source.removeprefix("s3://data/"), b"x", "application/gzip")
    assert rerun(door, run_id, "all").status == 202
    del door.spine.artifacts.objects[keys.manifest_key(run_id)]
    assert rerun(door, run_id, "all").code == "manifest_gone"


def test_a_report_that_is_gone_is_told(past: Past) -> None:
    del past.objects[past.report_key]
    assert past.again("failed").code == "report_gone"


def test_more_than_can_be_chosen_among_is_told(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glovebox.usecases.rerun.PAST_LIMIT_BYTES", 100)
    assert past.again("failed").code == "run_too_large"


def test_an_id_that_no_manifest_can_name_is_refused_with_its_path(past: Past) -> None:
    past.change(keys.plan_key(past.run_id), lambda test: test.update(selector="x" * 10_001))
    answer = past.again("failed")
    assert answer.code == "manifest_invalid"
    paths = [problem["path"] for problem in answer.body["error"]["details"]["problems"]]
    assert paths == ["suites[0].tests[0]"]


def test_a_repeat_with_the_same_key_is_the_same_run(past: Past) -> None:
    key = {"idempotency-key": "k"}
    first, again = (past.again("failed", headers=key) for _ in range(2))
    assert first.body["run_id"] == again.body["run_id"] != past.run_id
    assert past.again("all", headers=key).code == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"select": "some"}, (422, "invalid_request")),
        ({"select": None}, (400, "bad_request")),
        ({"pick": "all"}, (422, "invalid_request")),
    ],
)
def test_a_choice_that_is_none_is_refused(
    door: ApiDoor, body: Any, expected: tuple[int, str]
) -> None:
    answer = door.call("POST", f"/runs/{door.start()}/rerun", body)
    assert (answer.status, answer.code) == expected

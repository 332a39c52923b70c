"""A refused manifest leaves a readable note beside it, and its subscribers hear of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from glovebox.adapters import aws
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.sns_notices import SnsNotices
from glovebox.adapters.stepfunctions_workflow import StepFunctionsWorkflow
from glovebox.adapters.system import SystemClock
from glovebox.domain.errors import SourceError
from glovebox.usecases.reduce import ReduceRun
from glovebox.usecases.sweep import SweepRuns
from jsonschema import Draft202012Validator
from moto.events.models import EventPattern

from tests.faults.door import Door, a_manifest
from tests.faults.handlers import ROOT
from tests.stack.definitions import expanded

KEY = "nightly/glovebox.yml"
BROKEN = b"""\
version: 1
nmae: x
name: nightly
source: {inline: {files: {a.txt: a}}}
suites:
  - name: unit
    framework: pytest
    timeout: 5 minutes
"""


def valid(document: Any, schema: str) -> dict[str, Any]:
    """The document, once it was held against its published schema."""
    text = (ROOT / "docs/schema" / f"{schema}.json").read_text()
    Draft202012Validator(json.loads(text)).validate(document)
    return dict(document)


def sweep(door: Door) -> SweepRuns:
    data, clock = S3Artifacts(door.s3, "data"), SystemClock()
    workflow = StepFunctionsWorkflow(door.machines, door.arn)
    notices = SnsNotices(aws.sns(), door.topic)
    return SweepRuns(door.runs, workflow, clock, ReduceRun(door.runs, data, clock), notices)


def test_the_note_names_every_problem_with_its_place_and_what_was_meant(door: Door) -> None:
    told = door.drop(BROKEN, KEY)
    door.deliver(told)
    note = valid(json.loads(door.note(KEY)), "rejected.v1")
    [run] = door.listed()
    assert note["run_id"] == run.run_id
    assert note["origin"] == {
        "bucket": "manifests",
        "key": "nightly/glovebox.yml",
        "version": told["detail"]["object"]["version-id"],
    }
    places = [(p["path"], p["line"], p["suggestion"]) for p in note["problems"]]
    assert ("nmae", 2, "name") in places or ("", 2, "name") in places
    assert any(path == "suites[0].timeout" and line == 8 for path, line, _ in places)
    assert door.note(KEY).count(b"\n") > len(note["problems"]), "people read it too"


def test_subscribers_hear_once_however_often_the_event_comes(door: Door) -> None:
    event = door.drop(BROKEN, KEY)
    for _ in range(5):
        door.deliver(event)
    assert sweep(door)(lambda: 300).told == []
    [told] = door.told()
    message = valid(json.loads(told["Message"]), "run-rejected.v1")
    [run] = door.listed()
    assert run.origin is not None
    assert (message["run_id"], message["origin"]) == (run.run_id, run.origin.model_dump())
    assert message["note"] == "s3://manifests/nightly/glovebox.yml.rejected.json"
    assert {name: value["Value"] for name, value in told["MessageAttributes"].items()} == {
        "event": "run.rejected",
        "name": "rejected",
        "conclusion": "rejected",
        "key": "nightly/glovebox.yml",
    }


def test_the_note_starts_nothing(door: Door) -> None:
    door.deliver(door.drop(BROKEN, KEY))
    note = door.drop(door.note(KEY), "nightly/glovebox.yml.rejected.json")
    door.deliver(note)
    assert len(door.listed()) == 1
    assert door.keys() == {"nightly/glovebox.yml", "nightly/glovebox.yml.rejected.json"}


@pytest.mark.parametrize(
    ("key", "starts"),
    [
        ("glovebox.yml", True),
        ("a/b.json", True),
        ("any name", True),
        ("a.rejected.json.yml", True),
        ("glovebox.yml.rejected.json", False),
        ("sources/a.tar.gz", False),
        ("a.tgz", False),
        ("folder/", False),
    ],
)
def test_the_rule_lets_manifests_through_and_nothing_else(
    door: Door, key: str, starts: bool
) -> None:
    pattern = expanded("AWS::Events::Rule")["IntakeFunctionManifestDropped"]["EventPattern"]
    pattern["detail"]["bucket"]["name"] = ["manifests"]
    event: Any = door.drop(a_manifest("n"), key)
    assert EventPattern.load(json.dumps(pattern)).matches_event(event) is starts
    door.deliver(event)
    assert len(door.listed()) == starts, "and the handler thinks the same"


def test_a_topic_that_fails_leaves_the_telling_to_the_next_sweep(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = door.drop(BROKEN, KEY)

    def failing(*_: object) -> None:
        raise ClientError({"Error": {"Code": "InternalError"}}, "Publish")

    with monkeypatch.context() as patch:
        patch.setattr(SnsNotices, "publish", failing)
        with pytest.raises(ClientError):
            door.deliver(event)
    door.deliver(event)  # Lambda's own retry: the refusal is on record, there is nothing to do
    assert door.told() == []
    [run] = door.listed()
    swept = sweep(door)(lambda: 300)
    assert (swept.told, swept.failed) == ([run.run_id], {})
    [told] = door.told()
    assert json.loads(told["Message"])["event"] == "run.rejected"
    assert sweep(door)(lambda: 300).told == []


def test_a_note_that_could_not_be_written_is_written_by_the_next_delivery(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = door.drop(BROKEN, KEY)

    def failing(*_: object) -> None:
        raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")

    with monkeypatch.context() as patch:
        patch.setattr(S3Artifacts, "put", failing)
        with pytest.raises(ClientError):
            door.deliver(event)
    assert (door.listed(), door.told()) == ([], [])
    door.deliver(event)
    assert json.loads(door.note(KEY))["problems"]
    assert (len(door.listed()), len(door.told())) == (1, 1)


def test_a_key_that_leaves_no_room_for_a_note_is_refused_without_one(door: Door) -> None:
    key = "k" * 1015
    door.deliver(door.drop(BROKEN, key))
    [told] = door.told()
    assert json.loads(told["Message"])["note"] is None
    assert door.keys() == {key}


def test_an_accepted_run_knows_which_version_it_was(door: Door) -> None:
    event = door.drop(a_manifest("n"))
    door.deliver(event)
    [run] = door.listed()
    assert run.origin is not None
    item = event["detail"]["object"]
    assert (run.origin.bucket, run.origin.key) == ("manifests", item["key"])
    assert run.origin.version == item["version-id"]
    assert door.told() == []


def test_a_source_is_read_from_the_two_buckets_and_no_other(door: Door) -> None:
    door.s3.create_bucket(Bucket="foreign")
    for bucket in ("manifests", "data", "foreign"):
        door.s3.put_object(Bucket=bucket, Key="a.tar.gz", Body=bucket.encode())
    artifacts = S3Artifacts(door.s3, "data", ("manifests",))
    for bucket in ("manifests", "data"):
        assert artifacts.get_uri(f"s3://{bucket}/a.tar.gz", limit=100) == bucket.encode()
    with pytest.raises(SourceError, match="own buckets"):
        artifacts.get_uri("s3://foreign/a.tar.gz", limit=100)

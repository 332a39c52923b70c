"""The sample events are what the stack really delivers."""

from __future__ import annotations

import hashlib
import json

from glovebox.domain.manifest_text import load_manifest

from tests.stack.definitions import NOUNS, ROOT, Json, expanded, logical_id, states
from tests.stack.test_template import ROUTES


def _event(noun: str) -> Json:
    event: Json = json.loads((ROOT / "events" / f"{noun}.json").read_text())
    return event


def _keys(template: Json) -> set[str]:
    return {key.removesuffix(".$") for key in template}


def test_every_function_has_one_event() -> None:
    assert {path.stem for path in (ROOT / "events").iterdir()} == set(NOUNS)


def test_the_documents_say_how_to_invoke_each_function_with_its_event() -> None:
    text = (ROOT / "docs/operating.md").read_text()
    for noun in NOUNS:
        assert f"sam local invoke {logical_id(noun)} -e events/{noun}.json\n" in text


def test_intake_gets_what_its_rule_lets_through() -> None:
    event = _event("intake")
    pattern = expanded("AWS::Events::Rule")["IntakeFunctionManifestDropped"]["EventPattern"]
    assert event["source"] in pattern["source"]
    assert event["detail-type"] in pattern["detail-type"]
    assert {"key", "version-id", "etag", "size"} <= set(event["detail"]["object"])


def test_the_api_gets_a_manifest_on_a_route_that_exists() -> None:
    event = _event("api")
    assert event["routeKey"] == event["requestContext"]["routeKey"]
    assert event["routeKey"] in ROUTES
    assert "iam" in event["requestContext"]["authorizer"]
    body = json.loads(event["body"])
    assert load_manifest(json.dumps(body["manifest"]), file="manifest.json").name == "boltons"


def test_the_planner_and_the_reducer_get_what_the_state_machine_sends() -> None:
    assert set(_event("planner")) == _keys(states()["Prepare"]["Parameters"]["Payload"])
    assert set(_event("reducer")) == _keys(states()["Reduce"]["Parameters"]["Payload"])


def test_the_launcher_gets_one_message_as_the_map_sends_it() -> None:
    [record] = _event("launcher")["Records"]
    assert record["eventSource"] == "aws:sqs"
    assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
    sent = states()["Batch"]["Parameters"]["MessageBody"]
    assert set(json.loads(record["body"])) == _keys(sent)


def test_the_sweeper_gets_a_tick() -> None:
    assert _event("sweeper")["detail-type"] == "Scheduled Event"

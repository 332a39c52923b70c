"""Telling subscribers: after the report is durable, again until it works, always of one run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError
from glovebox.domain import keys
from glovebox.usecases.reduce import Notification
from moto import mock_aws

from tests.stack.definitions import state_machine
from tests.unit.usecases.driver import Spine

REGION = "us-east-1"
ONE_TEST = {
    "source": {"inline": {"files": {"test_a.py": "def test_x(): pass\n"}}},
    "suites": [{"name": "unit", "framework": "command", "command": ["true"]}],
}
RETRIES = 8


class Topic:
    """The state machine's own end, from Notify on, over a topic that fails as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machines: Any = boto3.client("stepfunctions", region_name=REGION)
        sns: Any = boto3.client("sns", region_name=REGION)
        self.sqs: Any = boto3.client("sqs", region_name=REGION)
        topic = sns.create_topic(Name="runs")["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName="subscriber")["QueueUrl"]
        asked = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        queue_arn = asked["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
        states = {name: state_machine()["States"][name] for name in ("Notify", "NotNotified")}
        states["Notify"]["Parameters"]["TopicArn"] = topic
        self.arn = self.machines.create_state_machine(
            name="end",
            definition=json.dumps({"StartAt": "Notify", "States": states}),
            roleArn="arn:aws:iam::123456789012:role/r",
        )["stateMachineArn"]
        self.failing = 0
        """How many publications fail before one succeeds."""
        self.answers_lost = False
        """Whether those that fail had their effect all the same."""
        self.published: list[dict[str, Any]] = []
        real = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

        def call(client: Any, operation: str, request: dict[str, Any]) -> Any:
            if operation != "Publish":
                return real(client, operation, request)
            self.published.append(request)
            fails = len(self.published) <= self.failing
            if not fails or self.answers_lost:
                answer = real(client, operation, request)
            if fails:
                # The emulated state machine reads all of the answer.
                metadata = {"HTTPStatusCode": 500, "RequestId": "1"}
                error: Any = {"Error": {"Code": "E", "Message": "m"}, "ResponseMetadata": metadata}
                raise ClientError(error, operation)
            return answer

        monkeypatch.setattr("botocore.client.BaseClient._make_api_call", call)

    def tell(self, told: Notification) -> str:
        """Run the end of the state machine; answers how the execution ended."""
        attributes = {
            "name": told.name,
            "conclusion": told.conclusion,
            "changed": str(told.changed).lower(),
        }
        notice = {"message": told.message, "attributes": attributes}
        execution = self.machines.start_execution(
            stateMachineArn=self.arn, name="r1", input=json.dumps({"notice": notice})
        )["executionArn"]
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = self.machines.describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                return str(found.get("error") or found["status"])
            time.sleep(0.02)
        pytest.fail("it never ends")

    def heard(self) -> list[dict[str, Any]]:
        """What the subscriber received."""
        heard: list[dict[str, Any]] = []
        while True:
            answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
            if not answer.get("Messages"):
                return heard
            heard += [json.loads(json.loads(m["Body"])["Message"]) for m in answer["Messages"]]


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setattr(
        "moto.stepfunctions.parser.asl.component.common.retry.retrier_decl.time",
        SimpleNamespace(sleep=lambda _seconds: None),
    )
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield Topic(monkeypatch)


@pytest.fixture
def spine(tmp_path: Path) -> Spine:
    return Spine(tmp_path)


@pytest.fixture
def told(spine: Spine) -> Notification:
    """Of a run whose report is written."""
    run_id = spine.start(ONE_TEST)
    spine.drive(run_id)
    return spine.reduce(run_id)


def test_a_topic_that_fails_for_a_while_is_told_in_the_end(
    topic: Topic, told: Notification
) -> None:
    topic.failing = 3
    assert topic.tell(told) == "SUCCEEDED"
    [message] = topic.heard()
    assert (message["run_id"], message["event"]) == ("r1", "run.finished")


def test_whoever_is_told_twice_is_told_the_same(topic: Topic, told: Notification) -> None:
    topic.failing, topic.answers_lost = 2, True
    assert topic.tell(told) == "SUCCEEDED"
    heard = topic.heard()
    assert len(heard) == 3
    assert all(message == heard[0] for message in heard), "one run, one text: easy to drop"


def test_a_topic_that_always_fails_ends_the_execution_red_and_leaves_the_report(
    topic: Topic, told: Notification, spine: Spine
) -> None:
    topic.failing = 10**6
    assert topic.tell(told) == "NotifyFailed"
    assert len(topic.published) == 1 + RETRIES
    assert spine.runs.run("r1").is_finished
    assert spine.report("r1").summary.total == 1


def test_subscribers_are_told_only_after_the_reducer_answered() -> None:
    into_notify = [
        (name, kind)
        for name, state in state_machine()["States"].items()
        for kind, edges in (
            ("Next", [state]),
            ("Catch", state.get("Catch", [])),
            ("Choices", state.get("Choices", [])),
            ("Default", [{"Next": state.get("Default")}]),
        )
        if any(edge.get("Next") == "Notify" for edge in edges)
    ]
    assert into_notify == [("Reduce", "Next")]
    text = state_machine()["States"]["Notify"]["Parameters"]["Message.$"]
    assert text == "$.notice.message", "the reducer's own words, the same at every try"


class Stores:
    """Artifacts that fail at the n-th object that is put."""

    def __init__(self, real: Any, fail_at: int) -> None:
        self._real, self._left = real, fail_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def put(self, key: str, content: bytes, content_type: str) -> None:
        self._count()
        self._real.put(key, content, content_type)

    def put_new(self, key: str, content: bytes, content_type: str) -> bool:
        self._count()
        return bool(self._real.put_new(key, content, content_type))

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise ConnectionError


@pytest.mark.parametrize("fail_at", [1, 2])
def test_nobody_is_told_of_a_report_that_is_not_written(spine: Spine, fail_at: int) -> None:
    run_id = _driven(spine)
    spine.reduce.artifacts = Stores(spine.artifacts, fail_at)
    with pytest.raises(ConnectionError):
        spine.reduce(run_id)
    assert not spine.runs.run(run_id).is_finished
    spine.reduce.artifacts = spine.artifacts
    message = json.loads(spine.reduce(run_id).message)
    for uri in message["reports"].values():
        assert uri.removeprefix("s3://data/") in spine.artifacts.objects
    assert spine.runs.run(run_id).is_finished


def test_a_reducer_whose_answer_was_lost_says_the_same_again(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = _driven(spine)
    note = spine.runs.note_conclusion

    def crash(run: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(spine.runs, "note_conclusion", crash)
    with pytest.raises(ConnectionError):
        spine.reduce(run_id)
    assert spine.runs.run(run_id).is_finished, "durable, and nobody was told"
    monkeypatch.setattr(spine.runs, "note_conclusion", note)
    first = spine.reduce(run_id)
    assert spine.reduce(run_id) == first
    assert json.loads(first.message)["conclusion"] == "passed"


def _driven(spine: Spine) -> str:
    """A run that is ready to be reduced."""
    run_id = spine.start(ONE_TEST)
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    for message in spine.messages(answer, run_id):
        spine.launcher()(message, lambda: spine.seconds_left)
    assert spine.settle(run_id, answer.round).batches == 0
    assert keys.report_key(run_id, "report.json") not in spine.artifacts.objects
    return run_id

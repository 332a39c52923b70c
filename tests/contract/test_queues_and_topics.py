"""Dead letters, redelivery and notices: what the fakes promise, SQS and SNS keep."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from glovebox.adapters.sns_notices import SnsNotices
from glovebox.adapters.sqs_dead_letters import SqsDeadLetters
from glovebox.adapters.sqs_redelivery import BACKOFF_SECONDS, LAST_SECONDS, SqsRedelivery
from glovebox.ports import DeadLetters
from moto import mock_aws
from moto.sqs.models import sqs_backends

from tests.fakes import MemoryDeadLetters

ACCOUNT = "123456789012"
REGION = "us-east-1"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        yield


class SqsQueue:
    """A queue, and what a sender and the passing of time do to it."""

    def __init__(self) -> None:
        self.client = boto3.client("sqs", region_name=REGION)
        self.url = self.client.create_queue(QueueName="dead")["QueueUrl"]
        self.letters = SqsDeadLetters(self.client, self.url)

    def put(self, body: str) -> str:
        return self.client.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"]

    def come_back(self) -> None:
        for message in sqs_backends[ACCOUNT][REGION].queues["dead"]._messages:
            message.visible_at = 0


@dataclass
class Dead:
    queue: Any
    letters: DeadLetters


@pytest.fixture(params=["memory", "sqs"])
def dead(request: pytest.FixtureRequest) -> Dead:
    if request.param == "memory":
        memory = MemoryDeadLetters()
        return Dead(memory, memory)
    request.getfixturevalue("aws")
    queue = SqsQueue()
    return Dead(queue, queue.letters)


def test_an_empty_queue_has_no_letters(dead: Dead) -> None:
    assert dead.letters.receive() == []


def test_a_letter_is_received_as_it_was_sent_and_under_its_id(dead: Dead) -> None:
    body = 'no { json "é" \t'
    message_id = dead.queue.put(body)
    [letter] = dead.letters.receive()
    assert (letter.message_id, letter.body) == (message_id, body)


def test_a_letter_that_is_not_removed_comes_back_and_one_that_is_does_not(dead: Dead) -> None:
    kept = dead.queue.put("kept")
    dead.queue.put("removed")
    for letter in dead.letters.receive():
        if letter.body == "removed":
            dead.letters.remove(letter)
    assert dead.letters.receive() == []
    dead.queue.come_back()
    assert [letter.message_id for letter in dead.letters.receive()] == [kept]


def test_more_letters_than_come_at_once_are_all_received(dead: Dead) -> None:
    sent = {dead.queue.put(f"letter {number}") for number in range(23)}
    received: set[str] = set()
    while letters := dead.letters.receive():
        received |= {letter.message_id for letter in letters}
    assert received == sent


def test_a_failed_message_is_hidden_for_seconds_and_longer_from_failure_to_failure(
    aws: None,
) -> None:
    queue = SqsQueue()
    queue.put("failing")
    [message] = queue.client.receive_message(QueueUrl=queue.url, VisibilityTimeout=5400)["Messages"]
    [stored] = sqs_backends[ACCOUNT][REGION].queues["dead"]._messages
    waits = []
    for receives in range(1, 7):
        SqsRedelivery(queue.client, queue.url).soon(message["ReceiptHandle"], receives)
        waits.append(round(stored.visible_at / 1000 - time.time()))
    assert waits == [*BACKOFF_SECONDS, LAST_SECONDS, LAST_SECONDS]
    assert sum(BACKOFF_SECONDS) + LAST_SECONDS < 60, "the Map waits for a sign of life for 120 s"


def test_a_message_that_is_gone_fails_nobody(aws: None) -> None:
    queue = SqsQueue()
    SqsRedelivery(queue.client, queue.url).soon("no such receipt", 1)


def test_a_notice_arrives_with_what_subscribers_filter_by(aws: None) -> None:
    sns, queue = boto3.client("sns", region_name=REGION), SqsQueue()
    topic = sns.create_topic(Name="runs")["TopicArn"]
    for name in ("mine", "other"):
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        queue.client.create_queue(QueueName=name)
        policy = json.dumps({"name": [name]})
        sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"FilterPolicy": policy}
        )
    SnsNotices(sns, topic).publish('{"a": 1}', {"name": "mine", "changed": "false"})
    url = queue.client.get_queue_url(QueueName="mine")["QueueUrl"]
    [message] = queue.client.receive_message(QueueUrl=url)["Messages"]
    body = json.loads(message["Body"])
    assert body["Message"] == '{"a": 1}'
    assert body["MessageAttributes"]["changed"] == {"Type": "String", "Value": "false"}
    other = queue.client.get_queue_url(QueueName="other")["QueueUrl"]
    assert "Messages" not in queue.client.receive_message(QueueUrl=other)

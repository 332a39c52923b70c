"""The launch queue: what the fake keeps, SQS delivers."""

from __future__ import annotations

import boto3
import pytest
from glovebox.adapters.sqs_launch_queue import SqsLaunchQueue
from glovebox.ports import LaunchQueue
from moto import mock_aws

from tests.fakes import MemoryLaunchQueue


def test_what_is_sent_is_received_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    fake: LaunchQueue = MemoryLaunchQueue()
    fake.send("é", delay_seconds=0)
    assert isinstance(fake, MemoryLaunchQueue)
    assert fake.sent == [("é", 0)]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        client = boto3.client("sqs", region_name="us-east-1")
        url = client.create_queue(QueueName="launch")["QueueUrl"]
        queue: LaunchQueue = SqsLaunchQueue(client, url)
        queue.send("é", delay_seconds=0)
        queue.send("later", delay_seconds=45)
        received = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        assert [message["Body"] for message in received] == ["é"]

"""The S3 door over an emulated AWS: the manifest bucket, intake, and what comes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from glovebox.adapters import aws
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.domain.manifest_text import load_manifest
from glovebox.domain.run import Run
from moto import mock_aws

from tests.contract.test_runs import dynamo
from tests.faults.handlers import context, event, load_function

REGION = "us-east-1"
MACHINE = {
    "StartAt": "Done",
    "States": {"Done": {"Type": "Succeed"}},
}


def a_manifest(name: str) -> bytes:
    return json.dumps(
        {
            "version": 1,
            "name": name,
            "source": {"inline": {"files": {"test_a.py": "def test_x(): pass\n"}}},
            "suites": [{"name": "unit", "framework": "pytest"}],
        }
    ).encode()


class Door:
    """The manifest bucket, intake, and what comes of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.s3: Any = aws.s3()
        for bucket in ("manifests", "data"):
            self.s3.create_bucket(Bucket=bucket)
        self.s3.put_bucket_versioning(
            Bucket="manifests", VersioningConfiguration={"Status": "Enabled"}
        )
        self.runs: DynamoRuns = dynamo()
        self.machines: Any = aws.stepfunctions()
        self.arn = self.machines.create_state_machine(
            name="run",
            definition=json.dumps(MACHINE),
            roleArn="arn:aws:iam::123456789012:role/r",
        )["stateMachineArn"]
        self.topic: str = aws.sns().create_topic(Name="runs")["TopicArn"]
        sqs: Any = aws.sqs()
        self.queue: str = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:123456789012:subscriber"
        aws.sns().subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)
        settings = {
            "GLOVEBOX_TABLE": "runs",
            "GLOVEBOX_DATA_BUCKET": "data",
            "GLOVEBOX_MANIFEST_BUCKET": "manifests",
            "GLOVEBOX_STATE_MACHINE_ARN": self.arn,
            "GLOVEBOX_RUN_TOPIC_ARN": self.topic,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        self.intake: ModuleType = load_function("intake")

    def drop(self, content: bytes, key: str = "nightly/glovebox.json") -> dict[str, Any]:
        """Put a manifest into the bucket; answers the event that S3 makes of it."""
        version = self.s3.put_object(Bucket="manifests", Key=key, Body=content)["VersionId"]
        told = event("intake")
        told["detail"]["bucket"]["name"] = "manifests"
        told["detail"]["object"].update({"key": key, "version-id": version})
        return told

    def deliver(self, told: dict[str, Any]) -> None:
        self.intake.lambda_handler(told, context())

    def started(self) -> list[str]:
        listed = self.machines.list_executions(stateMachineArn=self.arn)["executions"]
        return sorted(execution["name"] for execution in listed)

    def listed(self) -> list[Run]:
        return list(self.runs.list_runs(limit=100, cursor=None)[0])

    def manifest_of(self, run: Run) -> str:
        key = f"runs/{run.run_id}/manifest.json"
        text = self.s3.get_object(Bucket="data", Key=key)["Body"].read()
        return load_manifest(text, file="manifest.json").name

    def told(self) -> list[dict[str, Any]]:
        """What a subscriber has received since the last look, as SNS wraps it."""
        sqs: Any = aws.sqs()
        found: list[dict[str, Any]] = []
        while messages := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            found += [json.loads(message["Body"]) for message in messages]
        return found

    def note(self, key: str) -> bytes:
        """The note beside a refused manifest."""
        name = f"{key}.rejected.json"
        content: bytes = self.s3.get_object(Bucket="manifests", Key=name)["Body"].read()
        return content

    def keys(self) -> set[str]:
        """What lies in the manifest bucket."""
        listed = self.s3.list_objects_v2(Bucket="manifests").get("Contents", [])
        return {item["Key"] for item in listed}


@contextmanager
def emulated_aws() -> Iterator[None]:
    """AWS in this process, and clients that speak to it."""
    clients = (aws.s3, aws.dynamodb, aws.stepfunctions, aws.sns, aws.sqs)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "x")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        for client in clients:
            client.cache_clear()
        yield
    for client in clients:
        client.cache_clear()

"""The other two doors, by the clients that people have."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import httpx
import pytest

from tests.e2e.conftest import Stack

MANIFEST = {
    "version": 1,
    "name": "dropped",
    "source": {"inline": {"files": {"test_a.py": "def test_x(): pass\n"}}},
    "suites": [{"name": "unit", "framework": "pytest"}],
}


def client(stack: Stack, service: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=stack.endpoints["aws_endpoint_url"],
        region_name=stack.endpoints["region"],
        aws_access_key_id=stack.endpoints["access_key_id"],
        aws_secret_access_key=stack.endpoints["secret_access_key"],
    )


def finished(stack: Stack, **wanted: Any) -> dict[str, Any]:
    """The first finished run that has these facts, as the API tells of it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for run in httpx.get(f"{stack.endpoints['api_url']}/runs").json()["runs"]:
            if run["state"] == "finished" and all(run[k] == v for k, v in wanted.items()):
                return dict(run)
        time.sleep(0.2)
    pytest.fail(f"no finished run with {wanted}")


def test_a_manifest_dropped_into_the_bucket_runs_once_and_is_announced(stack: Stack) -> None:
    sqs, sns = client(stack, "sqs"), client(stack, "sns")
    queue = sqs.create_queue(QueueName="listener")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(
        TopicArn=stack.endpoints["topic_arn"],
        Protocol="sqs",
        Endpoint=arn["QueueArn"],
        Attributes={"FilterPolicy": json.dumps({"name": ["dropped"]})},
    )
    client(stack, "s3").put_object(
        Bucket=stack.endpoints["manifest_bucket"],
        Key="team a/é.json",
        Body=json.dumps(MANIFEST).encode(),
    )
    run = finished(stack, name="dropped")
    assert (run["conclusion"], run["door"]) == ("passed", "s3")
    told: list[Any] = []
    while not told:
        answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)
        told = answer.get("Messages", [])
    sqs.delete_queue(QueueUrl=queue)
    message = json.loads(json.loads(told[0]["Body"])["Message"])
    assert (message["run_id"], message["conclusion"]) == (run["run_id"], "passed")
    bucket, _, key = message["reports"]["json"].removeprefix("s3://").partition("/")
    report = json.load(client(stack, "s3").get_object(Bucket=bucket, Key=key)["Body"])
    assert report["summary"]["total"] == 1


def test_a_broken_manifest_in_the_bucket_is_on_record_as_rejected(stack: Stack) -> None:
    client(stack, "s3").put_object(
        Bucket=stack.endpoints["manifest_bucket"], Key="broken.yml", Body=b"version: 1\nnmae: x\n"
    )
    run = finished(stack, conclusion="rejected")
    assert "broken.yml:2" in run["message"]


def test_the_api_runs_a_manifest_and_refuses_others(stack: Stack) -> None:
    api = stack.endpoints["api_url"]
    started = httpx.post(f"{api}/runs", json={"manifest": {**MANIFEST, "name": "posted"}})
    assert started.status_code == 202
    assert finished(stack, name="posted")["run_id"] == started.json()["run_id"]
    refused = httpx.post(f"{api}/runs", json={"manifest": {**MANIFEST, "colour": "red"}})
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "manifest_invalid"
    assert httpx.post(f"{api}/runs", content=b"{}").status_code == 415
    assert httpx.get(f"{api}/runs/nobody").json()["error"]["code"] == "not_found"

"""The product's own template deploys whole, as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import boto3
import pytest
from glovebox_local.settings import LocalSettings
from glovebox_local.stack import LocalStack

from .conftest import StubSandboxServer

TEMPLATE = Path(__file__).resolve().parents[3] / "template.yaml"

pytestmark = pytest.mark.skipif(not TEMPLATE.is_file(), reason="no template.yaml yet")


@pytest.fixture(scope="module")
def stack(playground_session: dict[str, Any]) -> Iterator[LocalStack]:
    if "it" in playground_session:
        playground_session.pop("it").stack.stop()
    # Nothing is invoked here: what the functions do is tested where they are at home.
    settings = LocalSettings(prewarm=())
    with LocalStack(sandbox_server=StubSandboxServer(), settings=settings) as running:
        yield running


def client(stack: LocalStack, service: Any) -> Any:
    return boto3.client(
        service,
        region_name=stack.endpoints.region,
        endpoint_url=stack.endpoints.aws_endpoint_url,
        aws_access_key_id=stack.endpoints.access_key_id,
        aws_secret_access_key=stack.endpoints.secret_access_key,
    )


def test_every_output_resolves_and_every_endpoint_is_known(stack: LocalStack) -> None:
    for name, value in stack.deployment.outputs.items():
        assert value, name
        assert "${" not in value, name
    for field in fields(stack.endpoints):
        assert getattr(stack.endpoints, field.name), field.name
    assert stack.deployment.outputs["ApiUrl"] == stack.endpoints.api_url


def test_the_endpoints_are_those_of_real_resources(stack: LocalStack) -> None:
    endpoints = stack.endpoints
    buckets = {b["Name"] for b in client(stack, "s3").list_buckets()["Buckets"]}
    assert {endpoints.manifest_bucket, endpoints.data_bucket} <= buckets
    table = client(stack, "dynamodb").describe_table(TableName=endpoints.table)["Table"]
    assert table["TableStatus"] == "ACTIVE"
    machines = client(stack, "stepfunctions").list_state_machines()["stateMachines"]
    assert [m["stateMachineArn"] for m in machines] == [endpoints.state_machine_arn]
    client(stack, "sns").get_topic_attributes(TopicArn=endpoints.topic_arn)
    client(stack, "sqs").get_queue_attributes(
        QueueUrl=endpoints.launch_queue_url, AttributeNames=["VisibilityTimeout"]
    )


def test_the_state_machine_has_every_substitution(stack: LocalStack) -> None:
    described = client(stack, "stepfunctions").describe_state_machine(
        stateMachineArn=stack.endpoints.state_machine_arn
    )
    assert "${" not in described["definition"]
    assert stack.endpoints.launch_queue_url in described["definition"]


def test_functions_are_told_of_the_local_sandbox_server(stack: LocalStack) -> None:
    functions = client(stack, "lambda").list_functions()["Functions"]
    told = {
        variables["HOPX_BASE_URL"]
        for function in functions
        if "HOPX_BASE_URL" in (variables := function["Environment"]["Variables"])
    }
    assert told == {StubSandboxServer.url}


def test_a_dropped_manifests_event_carries_its_version(stack: LocalStack) -> None:
    events, sqs = client(stack, "events"), client(stack, "sqs")
    queue = sqs.create_queue(QueueName="copies")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    events.put_rule(Name="copies", EventPattern=json.dumps({"source": ["aws.s3"]}))
    events.put_targets(Rule="copies", Targets=[{"Id": "q", "Arn": arn["QueueArn"]}])
    put = client(stack, "s3").put_object(
        Bucket=stack.endpoints.manifest_bucket, Key="not-a-manifest", Body=b"x"
    )
    received = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    event = json.loads(received[0]["Body"])
    assert event["detail"]["object"]["version-id"] == put["VersionId"]

"""The state machine's shape runs: distributed Map from S3, task tokens through SQS and a Lambda."""

from __future__ import annotations

import json
import time
from typing import Any

from .conftest import Playground, eventually


def start(playground: Playground, name: str, batches: list[dict[str, Any]], **extra: Any) -> str:
    bucket = playground.endpoints.manifest_bucket
    key = f"plans/{name}.json"
    playground.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(batches))
    document = {"run_id": name, "bucket": bucket, "key": key, "parallelism": 4, **extra}
    started = playground.client("stepfunctions").start_execution(
        stateMachineArn=playground.endpoints.state_machine_arn,
        name=name,
        input=json.dumps(document),
    )
    return str(started["executionArn"])


def batch(batch_id: str, timeout: int = 20, heartbeat: int = 10) -> dict[str, Any]:
    return {"batch_id": batch_id, "timeout_seconds": timeout, "heartbeat_seconds": heartbeat}


def finished(playground: Playground, execution: str) -> dict[str, Any]:
    client = playground.client("stepfunctions")

    def look() -> dict[str, Any] | None:
        described: dict[str, Any] = client.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    return eventually(look, seconds=20)


def test_every_batch_is_launched_and_the_lost_and_failed_ones_are_caught(
    playground: Playground,
) -> None:
    batches = [batch(f"b{i}") for i in range(8)]
    batches += [batch("failing"), batch("lost", timeout=2, heartbeat=1)]
    execution = start(playground, "run-1", batches)
    described = finished(playground, execution)
    assert described["status"] == "SUCCEEDED", described
    results = json.loads(described["output"])["results"]
    assert [r["settled"] for r in results] == [True] * 8 + [False] * 2
    assert results[8]["error"] == "SandboxUnavailable"
    assert results[9]["error"] == "States.HeartbeatTimeout"
    launched = [event["batch_id"] for event in playground.seen("launched")]
    assert launched.count("failing") == 2  # one Retry
    assert sorted(set(launched)) == sorted(b["batch_id"] for b in batches)


def test_a_stopped_execution_is_aborted_at_once_though_it_waits_for_a_token(
    playground: Playground,
) -> None:
    execution = start(playground, "run-2", [batch("lost-2"), batch("lost-3"), batch("lost-4")])
    eventually(lambda: any(event["batch_id"] == "lost-2" for event in playground.seen("launched")))
    client = playground.client("stepfunctions")
    started = time.monotonic()
    client.stop_execution(executionArn=execution)
    described = client.describe_execution(executionArn=execution)
    assert described["status"] == "ABORTED"
    assert time.monotonic() - started < 1
    time.sleep(0.3)
    assert client.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_a_map_survives_more_items_than_the_interpreter_has_stack_for(
    playground: Playground,
) -> None:
    client = playground.client("stepfunctions")
    bucket = playground.endpoints.manifest_bucket
    items = list(range(1050))
    playground.client("s3").put_object(Bucket=bucket, Key="items", Body=json.dumps(items))
    definition = {
        "StartAt": "Map",
        "States": {
            "Map": {
                "Type": "Map",
                "MaxConcurrency": 1,
                "ItemReader": {
                    "Resource": "arn:aws:states:::s3:getObject",
                    "ReaderConfig": {"InputType": "JSON"},
                    "Parameters": {"Bucket": bucket, "Key": "items"},
                },
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "One",
                    "States": {"One": {"Type": "Pass", "End": True}},
                },
                "End": True,
            }
        },
    }
    machine = client.create_state_machine(
        name="long",
        definition=json.dumps(definition),
        roleArn="arn:aws:iam::123456789012:role/any",
    )["stateMachineArn"]
    execution = client.start_execution(stateMachineArn=machine)["executionArn"]
    described = finished(playground, execution)
    assert described["status"] == "SUCCEEDED"
    assert json.loads(described["output"]) == items


def test_a_second_execution_without_a_name_is_another_one(playground: Playground) -> None:
    client = playground.client("stepfunctions")
    definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
    machine = client.create_state_machine(
        name="nameless",
        definition=json.dumps(definition),
        roleArn="arn:aws:iam::123456789012:role/any",
    )["stateMachineArn"]
    arns = {client.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(2)}
    assert len(arns) == 2

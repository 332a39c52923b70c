"""Functions run as on AWS, and fail as on AWS."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Playground, eventually


def invoke(playground: Playground, payload: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Invoke the faulty function; its one reserved worker may still be busy with a test before."""
    client = playground.client("lambda")

    def once() -> dict[str, Any] | None:
        try:
            answer = client.invoke(
                FunctionName=playground.ref("FaultyFunction"),
                Payload=json.dumps(payload),
                **options,
            )
        except client.exceptions.TooManyRequestsException:
            return None
        return {**answer, "Payload": json.loads(answer["Payload"].read() or b"null")}

    return eventually(once)


def test_a_worker_is_kept_warm_and_sees_nothing_of_the_hosts_environment(
    playground: Playground,
) -> None:
    first = invoke(playground, {})["Payload"]
    second = invoke(playground, {})["Payload"]
    assert first["pid"] == second["pid"]
    environment = first["env"]
    assert set(environment) & set(os.environ) <= {"PATH", "LANG", "LC_CTYPE", "TZ"}
    assert environment["TZ"] == "UTC"
    assert environment["HOPX"] == "http://127.0.0.1:9"
    assert environment["AWS_ENDPOINT_URL"] == playground.endpoints.aws_endpoint_url
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == playground.ref("FaultyFunction")


def test_a_function_that_takes_too_long_is_killed(playground: Playground) -> None:
    started = time.monotonic()
    answer = invoke(playground, {"sleep": 30})
    assert time.monotonic() - started < 4
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"]["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in answer["Payload"]["errorMessage"]


def test_a_function_whose_process_ends_is_an_exit_error(playground: Playground) -> None:
    answer = invoke(playground, {"exit": 7})
    assert answer["Payload"]["errorType"] == "Runtime.ExitError"
    assert "exit status 7" in answer["Payload"]["errorMessage"]
    assert "pid" in invoke(playground, {})["Payload"]  # the next one has a new process


def test_an_exception_comes_with_its_type_and_the_tail_of_the_log(playground: Playground) -> None:
    import base64

    answer = invoke(playground, {"raise": True}, LogType="Tail")
    assert answer["Payload"]["errorType"] == "ValueError"
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert "asked {'raise': True}" in tail
    assert "REPORT RequestId" in tail


def test_beyond_its_reserved_concurrency_a_function_is_throttled(playground: Playground) -> None:
    busy = threading.Thread(target=invoke, args=(playground, {"sleep": 0.7}))
    busy.start()
    time.sleep(0.3)
    with pytest.raises(ClientError) as refused:
        playground.client("lambda").invoke(FunctionName=playground.ref("FaultyFunction"))
    busy.join()
    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_an_unknown_function_is_not_found(playground: Playground) -> None:
    client = playground.client("lambda")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")


def test_an_asynchronous_event_is_retried_and_then_put_in_the_dead_letter_queue(
    playground: Playground,
) -> None:
    answer = invoke(playground, {"raise": "async"}, InvocationType="Event")
    assert answer["StatusCode"] == 202
    received = playground.client("sqs").receive_message(
        QueueUrl=playground.ref("FaultyDead"), WaitTimeSeconds=10, MessageAttributeNames=["All"]
    )["Messages"]
    assert json.loads(received[0]["Body"]) == {"raise": "async"}
    assert received[0]["MessageAttributes"]["ErrorMessage"]["StringValue"] == "as asked"
    tries = [event for event in playground.seen("faulty") if event.get("raise") == "async"]
    assert len(tries) == 2  # MaximumRetryAttempts: 1


def test_what_a_function_prints_is_in_its_log_file_and_in_cloudwatch(
    playground: Playground,
) -> None:
    invoke(playground, {"mark": "over here"})
    log = Path(playground.endpoints.log_dir) / "FaultyFunction.log"
    assert "over here" in log.read_text()
    logs = playground.client("logs")
    group = f"/aws/lambda/{playground.ref('FaultyFunction')}"
    found = logs.filter_log_events(logGroupName=group, filterPattern="over")["events"]
    assert any("over here" in event["message"] for event in found)

"""The timeout chain: every wait is longer than what it waits for."""

from __future__ import annotations

from typing import Any

import pytest
from glovebox.adapters.hopx_agent import OVERRUN_SECONDS, TRANSFER_SECONDS
from glovebox.adapters.hopx_sandboxes import CREATE_SECONDS
from glovebox.domain.manifest_text import load_manifest
from glovebox.domain.plan import (
    BatchTicket,
    Group,
    Plan,
    PlannedAttempt,
    Round,
)
from glovebox.domain.run import Run
from glovebox.usecases.launch import (
    BEGIN_SECONDS,
    BEGIN_SHARE,
    HAND_ON_SECONDS,
    HAND_ON_SHARE,
    LONGEST_WAIT_SECONDS,
)
from glovebox.usecases.launch import HEARTBEAT_SECONDS as LAUNCHER_BEAT_SECONDS
from glovebox.usecases.process import REQUEST_MARGIN_SECONDS
from glovebox.usecases.rounds import HEARTBEAT_SECONDS, QUEUE_SECONDS, write_round

from tests.fakes import MemoryArtifacts
from tests.stack.definitions import expanded, logical_id, resources, states

DAY_SECONDS = 86_400


def _timeout(logical: str) -> int:
    seconds: int = expanded("AWS::Lambda::Function")[logical]["Timeout"]
    return seconds


def _sources() -> dict[str, dict[str, Any]]:
    return expanded("AWS::Lambda::EventSourceMapping")


def test_a_message_stays_hidden_for_six_times_the_function_timeout() -> None:
    assert _sources()
    for name, source in _sources().items():
        queue = resources("AWS::SQS::Queue")[source["EventSourceArn"]["Fn::GetAtt"][0]]
        assert queue["VisibilityTimeout"] >= 6 * _timeout(source["FunctionName"]["Ref"]), name


def test_a_queue_that_feeds_a_function_has_a_patient_dead_letter_queue() -> None:
    queues = resources("AWS::SQS::Queue")
    for name, source in _sources().items():
        redrive = queues[source["EventSourceArn"]["Fn::GetAtt"][0]]["RedrivePolicy"]
        assert redrive["maxReceiveCount"] >= 5, f"{name}: throttling alone must not lose a message"
        dead = queues[redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]]
        assert dead["MessageRetentionPeriod"] == 14 * DAY_SECONDS


def test_the_launcher_takes_one_batch_reports_failures_and_is_bounded() -> None:
    [source] = _sources().values()
    assert source["FunctionName"] == {"Ref": logical_id("launcher")}
    assert source["BatchSize"] == 1
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    launcher = resources("AWS::Serverless::Function")[logical_id("launcher")]
    scaling = launcher["Events"]["Batch"]["Properties"]["ScalingConfig"]
    assert scaling == {"MaximumConcurrency": {"Ref": "LauncherConcurrency"}}
    # More than is reserved would be throttled, and five throttles make a dead letter.
    assert launcher["ReservedConcurrentExecutions"] == {
        "Fn::If": [
            "ReservesConcurrency",
            {"Ref": "LauncherConcurrency"},
            {"Ref": "AWS::NoValue"},
        ]
    }


def test_an_event_that_intake_cannot_take_is_kept() -> None:
    rule = expanded("AWS::Events::Rule")["IntakeFunctionManifestDropped"]
    [target] = rule["Targets"]
    dead = {"Fn::GetAtt": ["DoorDeadLetterQueue", "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": dead}
    assert target["RetryPolicy"]["MaximumRetryAttempts"] >= 5
    invoke = expanded("AWS::Lambda::EventInvokeConfig")["IntakeFunctionEventInvokeConfig"]
    assert invoke["DestinationConfig"]["OnFailure"]["Destination"] == dead
    queue = resources("AWS::SQS::Queue")["DoorDeadLetterQueue"]
    assert queue["MessageRetentionPeriod"] == 14 * DAY_SECONDS


def test_every_asynchronous_edge_keeps_what_it_cannot_deliver() -> None:
    rules = expanded("AWS::Events::Rule")
    invoked = {
        target["Arn"]["Fn::GetAtt"][0]: target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]
        for rule in rules.values()
        for target in rule["Targets"]
    }
    assert set(invoked) == {"IntakeFunction", "SweeperFunction"}
    configured = {
        config["FunctionName"]["Ref"]: config["DestinationConfig"]["OnFailure"]["Destination"]
        for config in expanded("AWS::Lambda::EventInvokeConfig").values()
    }
    assert {name: to["Fn::GetAtt"][0] for name, to in configured.items()} == invoked
    for queue in invoked.values():
        allowed = resources("AWS::SQS::QueuePolicy")[f"{queue}Policy"]["PolicyDocument"]
        assert {"Service": "events.amazonaws.com"} in [s["Principal"] for s in allowed["Statement"]]


def test_the_gateway_waits_longer_than_the_api_takes() -> None:
    assert _timeout("ApiFunction") < 30, "an HTTP API gives up after 30 s"


def test_the_state_machine_waits_longer_than_the_functions_take() -> None:
    arns = {"${PlannerFunctionArn}": "PlannerFunction", "${ReducerFunctionArn}": "ReducerFunction"}
    invoking = {
        name: state
        for name, state in states("Task").items()
        if state["Resource"].endswith("lambda:invoke")
    }
    assert set(invoking) == {"Prepare", "Plan", "Settle", "Reduce"}
    for name, state in invoking.items():
        function = arns[state["Parameters"]["FunctionName"]]
        assert state["TimeoutSeconds"] > _timeout(function), name


def test_what_is_kept_back_to_hand_on_covers_a_request_that_overruns_its_patience() -> None:
    overrun = REQUEST_MARGIN_SECONDS + OVERRUN_SECONDS
    assert HAND_ON_SHARE * _timeout("LauncherFunction") > HAND_ON_SECONDS
    assert max(overrun, CREATE_SECONDS) < HAND_ON_SECONDS
    assert BEGIN_SHARE * _timeout("LauncherFunction") > BEGIN_SECONDS
    assert CREATE_SECONDS + 3 * TRANSFER_SECONDS < HAND_ON_SECONDS + BEGIN_SECONDS


def test_a_batch_that_waits_handed_on_is_not_taken_for_lost() -> None:
    assert LONGEST_WAIT_SECONDS + QUEUE_SECONDS < HEARTBEAT_SECONDS
    assert 3 * LAUNCHER_BEAT_SECONDS <= HEARTBEAT_SECONDS - QUEUE_SECONDS


@pytest.mark.parametrize("parallelism", [1, 2, 20, 1000])
@pytest.mark.parametrize("timeout", ["1s", "60s", "30m"])
@pytest.mark.parametrize("tests", [1, 25])
def test_a_heartbeat_is_due_before_the_batch_is_over(
    parallelism: int, timeout: str, tests: int
) -> None:
    """Step Functions refuses a state whose heartbeat is not shorter than its timeout, and that
    refusal no Catch can take."""
    manifest = load_manifest(
        '{"version": 1, "name": "n", "source": {"path": "."}, "timeout": "1h", "suites": ['
        f'{{"name": "unit", "framework": "pytest", "paths": ["."], "timeout": "{timeout}"}}]}}',
        file="glovebox.json",
    )
    groups = tuple(
        Group(suite="unit", attempts=(PlannedAttempt(test_id=f"t{n}", key=f"{n:020}", number=1),))
        for n in range(tests)
    )
    run = Run(run_id="r", name="n", door="api", created_at=0.0, parallelism_asked=parallelism)
    plan = Plan(run_id="r", name="n", tests=(), bundle_key="b", parallelism=parallelism)
    artifacts = MemoryArtifacts()
    answer = write_round(artifacts, run, plan, manifest, Round(run_id="r", round=1, groups=groups))
    for ticket in _tickets(artifacts.get(answer.batches_key, limit=1_000_000)):
        assert 0 < ticket.heartbeat_seconds < ticket.timeout_seconds


def _tickets(document: bytes) -> list[BatchTicket]:
    from pydantic import TypeAdapter

    return TypeAdapter(list[BatchTicket]).validate_json(document)

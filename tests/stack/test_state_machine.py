"""The state machine: no dead end, no endless wait, and every failure has a way out."""

from __future__ import annotations

from collections.abc import Iterator

import glovebox.domain.errors
import pytest
from glovebox.domain.errors import GloveboxError
from glovebox.domain.plan import BatchTicket, RoundAnswer

from tests.stack.definitions import Json, scopes, state_machine, states

LAMBDA_FAULTS = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
}
TASKS = ["Batch", "Notify", "Plan", "Prepare", "Reduce", "Settle"]


def _successors(state: Json) -> Iterator[str]:
    for edge in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        if "Next" in edge:
            yield edge["Next"]
    if "Default" in state:
        yield state["Default"]


def test_every_state_is_reachable_and_every_next_exists() -> None:
    for name, scope in scopes(state_machine()):
        reached, waiting = set(), [scope["StartAt"]]
        while waiting:
            state = waiting.pop()
            assert state in scope["States"], f"{name}: no state is called {state}"
            if state not in reached:
                reached.add(state)
                waiting.extend(_successors(scope["States"][state]))
        assert reached == set(scope["States"]), name


def test_these_are_all_the_tasks() -> None:
    assert sorted(states("Task")) == TASKS


@pytest.mark.parametrize("name", TASKS)
def test_a_task_ends_is_retried_and_catches_everything(name: str) -> None:
    task = states()[name]
    assert {"TimeoutSeconds", "TimeoutSecondsPath"} & set(task)
    assert task["Retry"]
    assert task["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


@pytest.mark.parametrize("name", TASKS)
def test_retries_are_bounded_spread_and_slow_down(name: str) -> None:
    for retry in states()[name]["Retry"]:
        assert 1 <= retry["MaxAttempts"] <= 10
        assert retry["BackoffRate"] > 1
        assert retry["MaxDelaySeconds"] <= 120
        assert retry["JitterStrategy"] == "FULL"


@pytest.mark.parametrize("name", ["Prepare", "Plan", "Settle", "Reduce"])
def test_a_faltering_lambda_service_is_retried(name: str) -> None:
    retried = {error for retry in states()[name]["Retry"] for error in retry["ErrorEquals"]}
    assert retried >= LAMBDA_FAULTS


@pytest.mark.parametrize("name", ["Prepare", "Plan", "Settle"])
def test_a_run_that_breaks_is_still_reduced(name: str) -> None:
    assert states()[name]["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Reduce"}
    ]


def test_the_reducer_is_told_what_broke_the_run_or_that_nothing_did() -> None:
    assert states()["Prepare"]["ResultSelector"]["error"] is None
    assert states()["Prepare"]["ResultPath"] == "$"
    assert states()["Reduce"]["Parameters"]["Payload"]["error.$"] == "$.error"


@pytest.mark.parametrize(("name", "end"), [("Reduce", "Broken"), ("Notify", "NotNotified")])
def test_a_run_without_a_report_or_a_notice_does_not_end_green(name: str, end: str) -> None:
    assert [catch["Next"] for catch in states()[name]["Catch"]] == [end]
    assert states()[end]["Type"] == "Fail"


def test_our_own_error_names_are_classes() -> None:
    ours = {
        error
        for state in states().values()
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]
        for error in rule["ErrorEquals"]
        if "." not in error
    }
    assert ours == {"SandboxUnavailable", "SandboxLost", "NewerRelease"}
    for error in ours:
        assert issubclass(getattr(glovebox.domain.errors, error), GloveboxError)


def test_a_batch_never_fails_and_its_answer_takes_no_room() -> None:
    batch, unsettled = states()["Batch"], states()["Unsettled"]
    assert batch["Resource"].endswith(":sqs:sendMessage.waitForTaskToken")
    assert [catch["Next"] for catch in batch["Catch"]] == ["Unsettled"]
    assert unsettled["Type"] == "Succeed"
    # A null OutputPath is the empty object.
    assert batch["OutputPath"] is None
    assert unsettled["OutputPath"] is None


def test_a_batch_waits_and_beats_as_its_ticket_says() -> None:
    batch = states()["Batch"]
    assert batch["TimeoutSecondsPath"] == "$.batch.timeout_seconds"
    assert batch["HeartbeatSecondsPath"] == "$.batch.heartbeat_seconds"
    body = batch["Parameters"]["MessageBody"]
    read = {p.removeprefix("$.batch.") for p in body.values() if str(p).startswith("$.batch.")}
    assert read | {"timeout_seconds", "heartbeat_seconds"} == set(BatchTicket.model_fields)


def test_whoever_waits_for_a_callback_waits_for_a_heartbeat() -> None:
    waiting = {
        name for name, task in states("Task").items() if "waitForTaskToken" in task["Resource"]
    }
    assert waiting == {"Batch"}
    for name in waiting:
        assert {"HeartbeatSeconds", "HeartbeatSecondsPath"} & set(states()[name])


def test_a_lost_batch_is_not_sent_again_but_left_to_the_next_round() -> None:
    retried = {e for retry in states()["Batch"]["Retry"] for e in retry["ErrorEquals"]}
    assert all(error.lower().startswith("sqs.") for error in retried)


@pytest.mark.parametrize("name", ["Plan", "Settle"])
def test_a_round_is_what_the_planner_answers(name: str) -> None:
    selected = states()[name]["ResultSelector"]
    assert {key.removesuffix(".$") for key in selected} == set(RoundAnswer.model_fields)
    assert states()[name]["ResultPath"] == "$.plan"


def test_the_map_is_distributed_bounded_and_read_from_the_data_bucket() -> None:
    launch = states()["Launch"]
    assert launch["ItemProcessor"]["ProcessorConfig"] == {
        "Mode": "DISTRIBUTED",
        "ExecutionType": "STANDARD",
    }
    assert launch["MaxConcurrencyPath"] == "$.plan.max_concurrency"
    assert launch["ItemReader"]["Parameters"] == {
        "Bucket": "${DataBucket}",
        "Key.$": "$.plan.batches_key",
    }
    assert launch["ResultPath"] is None
    assert launch["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Settle"}
    ]


@pytest.mark.parametrize("name", ["HasBatches", "More"])
def test_rounds_go_on_while_there_are_batches(name: str) -> None:
    choice = states()[name]
    assert choice["Choices"] == [
        {"Variable": "$.plan.batches", "NumericGreaterThan": 0, "Next": "Launch"}
    ]
    assert choice["Default"] == "Reduce"


def test_a_run_cannot_go_on_for_ever() -> None:
    assert 86_400 <= state_machine()["TimeoutSeconds"] <= 7 * 86_400


def test_subscribers_can_filter_by_event_name_conclusion_and_change() -> None:
    attributes = states()["Notify"]["Parameters"]["MessageAttributes"]
    assert set(attributes) == {"event", "name", "conclusion", "changed"}
    assert all(attribute["DataType"] == "String" for attribute in attributes.values())

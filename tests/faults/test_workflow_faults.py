"""The state machine's API on a bad day: answers that fail, come late, or are lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from glovebox.adapters.stepfunctions_workflow import StepFunctionsWorkflow

from tests.faults.aws_faults import AwsFault, AwsFaults
from tests.faults.moto_clients import faulty_client

pytestmark = pytest.mark.usefixtures("aws")
MACHINE = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
START = "sfn.StartExecution"


@pytest.fixture
def machine() -> str:
    role = boto3.client("iam").create_role(
        RoleName="role", AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    return boto3.client("stepfunctions").create_state_machine(
        name="runs", definition=json.dumps(MACHINE), roleArn=role["Role"]["Arn"]
    )["stateMachineArn"]


def workflow(faults: AwsFaults, machine: str | None = None) -> StepFunctionsWorkflow:
    return StepFunctionsWorkflow(faulty_client("stepfunctions", faults), machine)


def executions(machine: str) -> list[str]:
    listed = boto3.client("stepfunctions").list_executions(stateMachineArn=machine)
    return [execution["name"] for execution in listed["executions"]]


@pytest.mark.parametrize(
    "faults",
    [
        [AwsFault.THROTTLED] * 3,
        [AwsFault.ANSWER_LOST],
        [AwsFault.ANSWER_BROKEN, AwsFault.RESET],
        [AwsFault.THROTTLED, AwsFault.ANSWER_LOST, AwsFault.SERVER_ERROR],
    ],
    ids="-".join,
)
def test_a_start_that_is_throttled_or_unheard_starts_one_execution(
    machine: str, faults: list[AwsFault]
) -> None:
    workflow(AwsFaults(script={START: faults}), machine).start("r1")
    workflow(AwsFaults(), machine).start("r1")
    assert executions(machine) == ["r1"]


def test_a_start_that_never_gets_through_is_told(machine: str) -> None:
    with pytest.raises(ClientError, match="ThrottlingException"):
        workflow(AwsFaults(script={START: repeat(AwsFault.THROTTLED)}), machine).start("r1")
    assert executions(machine) == []


class Waiting:
    """Something that waits for a token, in the place of Step Functions."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.refusal: str | None = None

    def __call__(self, request: Any) -> Any:
        from tests.faults.aws_faults import error_answer

        if self.refusal is not None:
            return error_answer(request, "sfn.SendTaskSuccess", 400, self.refusal)
        self.answers.append(json.loads(request.body))
        return error_answer(request, "sfn.SendTaskSuccess", 200, "")


def answering(
    operation: str, faults: Iterable[AwsFault | None], waiting: Waiting
) -> tuple[StepFunctionsWorkflow, AwsFaults]:
    injected = AwsFaults(script={f"sfn.{operation}": faults})
    return StepFunctionsWorkflow(faulty_client("stepfunctions", injected, waiting)), injected


@pytest.mark.parametrize("count", [1, 5])
def test_an_answer_that_fails_some_times_is_given_in_the_end(count: int) -> None:
    waiting = Waiting()
    answers, injected = answering("SendTaskSuccess", [AwsFault.SERVER_ERROR] * count, waiting)
    answers.succeed("token")
    assert injected.tries["sfn.SendTaskSuccess"] == count + 1
    assert waiting.answers == [{"taskToken": "token", "output": "{}"}]


def test_an_answer_that_never_gets_through_is_told_so_that_the_message_stays() -> None:
    answers, _ = answering("SendTaskSuccess", repeat(AwsFault.RESET), Waiting())
    with pytest.raises(BotoCoreError):
        answers.succeed("token")


@pytest.mark.parametrize("closed", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
@pytest.mark.parametrize("first", [None, AwsFault.ANSWER_LOST])
def test_an_answer_that_nobody_waits_for_any_more_is_no_error(
    closed: str, first: AwsFault | None
) -> None:
    waiting = Waiting()
    waiting.refusal = closed
    answers, _ = answering("SendTaskSuccess", [first], waiting)
    answers.succeed("token")
    beats, _ = answering("SendTaskHeartbeat", [first], waiting)
    assert beats.heartbeat("token") is False


@pytest.mark.parametrize(
    "fault", [AwsFault.THROTTLED, AwsFault.RESET, AwsFault.NOT_CONNECTED, AwsFault.SERVER_ERROR]
)
def test_a_beat_that_is_not_heard_does_not_end_the_work(fault: AwsFault) -> None:
    beats, _ = answering("SendTaskHeartbeat", repeat(fault), Waiting())
    assert beats.heartbeat("token") is True


@pytest.mark.parametrize("say", [lambda w: w.succeed("t"), lambda w: w.heartbeat("t")])
def test_what_is_said_to_the_state_machine_carries_nothing_of_a_test(
    say: Callable[[StepFunctionsWorkflow], object],
) -> None:
    """Step Functions refuses a cause beyond 32 768 characters. We never send one: a failed test is
    a value in the ledger, and a batch that failed is one that does not answer."""
    waiting, said = Waiting(), AwsFaults()
    say(StepFunctionsWorkflow(faulty_client("stepfunctions", said, waiting)))
    assert set(said.tries) <= {"sfn.SendTaskSuccess", "sfn.SendTaskHeartbeat"}
    assert [set(answer) for answer in waiting.answers] in (
        [{"taskToken", "output"}],
        [{"taskToken"}],
    )
    assert all(len(json.dumps(answer)) < 100 for answer in waiting.answers)

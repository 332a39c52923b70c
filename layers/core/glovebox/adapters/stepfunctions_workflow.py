"""The state machine."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_log = logging.getLogger(__name__)

_NOBODY_WAITS = {"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"}
"""AWS and the embedded stack differ in which of these they say for a closed task."""


class StepFunctionsWorkflow:
    """Implements `ports.Workflow`. `state_machine_arn` is None where only tokens are answered."""

    def __init__(self, client: SFNClient, state_machine_arn: str | None = None) -> None:
        self._client = client
        self._arn = state_machine_arn

    def start(self, run_id: str) -> None:
        """Start a run's execution; one that was started before is no error."""
        try:
            self._client.start_execution(
                stateMachineArn=self._required_arn(),
                name=run_id,
                input=json.dumps({"schema_version": 1, "run_id": run_id}),
            )
        except ClientError as error:
            if _code(error) != "ExecutionAlreadyExists":
                raise

    def is_driven(self, run_id: str) -> bool:
        """Whether the run's execution is under way."""
        arn = self._required_arn().replace(":stateMachine:", ":execution:") + f":{run_id}"
        try:
            return self._client.describe_execution(executionArn=arn)["status"] == "RUNNING"
        except ClientError as error:
            if _code(error) == "ExecutionDoesNotExist":
                return False
            raise

    def succeed(self, token: str) -> None:
        """Answer a task token. A token that nobody waits for any more is no error."""
        try:
            self._client.send_task_success(taskToken=token, output="{}")
        except ClientError as error:
            if _code(error) not in _NOBODY_WAITS:
                raise
            _log.info("late answer", extra={"reason": _code(error)})

    def heartbeat(self, token: str) -> bool:
        """Say that the batch is alive; False where nobody waits for it any more."""
        try:
            self._client.send_task_heartbeat(taskToken=token)
        except (ClientError, BotoCoreError) as error:
            if _code(error) in _NOBODY_WAITS:
                return False
            # The next one may be heard, and three may be missed.
            _log.warning("heartbeat not delivered", extra={"reason": _code(error)})
        return True

    def _required_arn(self) -> str:
        if self._arn is None:
            message = "this function was not given the state machine"
            raise RuntimeError(message)
        return self._arn


def _code(error: ClientError | BotoCoreError) -> str:
    """What AWS answered, or the class of what kept it from answering."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__

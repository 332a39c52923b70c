"""The fan-out: one launch message is one batch, one sandbox per group of it."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from glovebox.adapters import aws
from glovebox.adapters.dynamodb_pace import DynamoPace
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.adapters.provider_circuit import GuardedSandboxes
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.secretsmanager_secrets import SecretsManagerSecrets
from glovebox.adapters.sqs_launch_queue import SqsLaunchQueue
from glovebox.adapters.sqs_redelivery import SqsRedelivery
from glovebox.adapters.stepfunctions_workflow import StepFunctionsWorkflow
from glovebox.adapters.system import SystemClock, new_token
from glovebox.domain.errors import NewerRelease
from glovebox.domain.pacing import PaceLimits
from glovebox.ports import Sandboxes
from glovebox.settings import Settings
from glovebox.telemetry import LogEvent, MetricName, make_logger, publish, publish_creations
from glovebox.usecases.launch import LaunchBatch, LaunchMessage
from pydantic import Field

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = make_logger()


class LauncherSettings(Settings):
    """What launcher needs to know."""

    table: str = Field(alias="GLOVEBOX_TABLE")
    data_bucket: str = Field(alias="GLOVEBOX_DATA_BUCKET")
    launch_queue_url: str = Field(alias="GLOVEBOX_LAUNCH_QUEUE_URL")
    hopx_base_url: str = Field(alias="HOPX_BASE_URL")
    secrets_prefix: str = Field(alias="GLOVEBOX_SECRETS_PREFIX")
    hopx_api_key_secret: str = Field(alias="HOPX_API_KEY_SECRET")
    sandboxes_per_minute: int = Field(alias="GLOVEBOX_SANDBOXES_PER_MINUTE", ge=1)
    max_sandboxes: int = Field(alias="GLOVEBOX_MAX_SANDBOXES", ge=1)
    circuit_failures: int = Field(alias="GLOVEBOX_CIRCUIT_FAILURES", ge=0)


def provider(settings: LauncherSettings, key: str) -> Sandboxes:
    """The sandbox provider, behind the circuit breaker unless that is switched off."""
    sandboxes = HopxSandboxes(settings.hopx_base_url, key)
    if settings.circuit_failures == 0:
        return sandboxes

    def changed(before: str, after: str) -> None:
        logger.warning(LogEvent.CIRCUIT_CHANGED, state=after, state_before=before)
        publish({MetricName.CIRCUITS_OPENED: int(after == "OPEN")})

    table, failures = settings.table, settings.circuit_failures
    return GuardedSandboxes(sandboxes, aws.dynamodb(), table, failures, changed)


@cache
def wired() -> LaunchBatch:
    """The use case."""
    settings = LauncherSettings.from_env(os.environ)
    limits = PaceLimits(settings.sandboxes_per_minute, settings.max_sandboxes)
    return LaunchBatch(
        provider(settings, aws.secret(settings.hopx_api_key_secret)),
        DynamoRuns(aws.dynamodb(), settings.table),
        S3Artifacts(aws.s3(), settings.data_bucket),
        StepFunctionsWorkflow(aws.stepfunctions()),
        SqsLaunchQueue(aws.sqs(), settings.launch_queue_url),
        SystemClock(),
        new_token,
        DynamoPace(aws.dynamodb(), settings.table, limits, SystemClock()),
        SecretsManagerSecrets(aws.secretsmanager(), settings.secrets_prefix, SystemClock()),
    )


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Drive the batch of each message; messages that failed go back to the queue."""
    failures = []
    for record in event["Records"]:
        try:
            drive(record["body"], context)
        except NewerRelease:
            # Not soon, or five tries are over before the newer release is there. The next round
            # does not wait for it: a batch without a heartbeat is begun again.
            logger.exception(LogEvent.MESSAGE_FAILED, message_id=record["messageId"])
            failures.append({"itemIdentifier": record["messageId"]})
        except Exception:
            # The boundary to the queue: whatever it was, the message is delivered again, and
            # the dead-letter queue ends the repeats.
            logger.exception(LogEvent.MESSAGE_FAILED, message_id=record["messageId"])
            failures.append({"itemIdentifier": record["messageId"]})
            deliver_soon(record)
    return {"batchItemFailures": failures}


def deliver_soon(record: dict[str, Any]) -> None:
    """Have a message that failed delivered again in seconds, or moved to the dead letters."""
    receives = int(record["attributes"]["ApproximateReceiveCount"])
    queue_url = LauncherSettings.from_env(os.environ).launch_queue_url
    SqsRedelivery(aws.sqs(), queue_url).soon(record["receiptHandle"], receives)


def drive(body: str, context: LambdaContext) -> None:
    """Drive one batch within what is left of this invocation."""
    message = LaunchMessage.model_validate_json(body)
    logger.append_keys(run_id=message.run_id, batch_id=message.batch_id)
    launch = wired()
    try:
        handed_on = launch(message, lambda: context.get_remaining_time_in_millis() / 1000)
    finally:
        made = launch.tally.take()
        publish_creations(made.seconds, throttles=made.throttled, faults=made.faults)
    if handed_on is not None:
        publish({MetricName.BATCHES_HANDED_ON: 1})
        logger.info(LogEvent.BATCH_HANDED_ON, turn=handed_on.turn, left=len(handed_on.left or ()))
    else:
        logger.info(LogEvent.BATCH_ENDED)

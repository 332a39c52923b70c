"""The account of a run: attempts counted against the plan, reports, conclusion."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from glovebox.adapters import aws
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.system import SystemClock
from glovebox.domain.outcome import Outcome
from glovebox.settings import Settings
from glovebox.telemetry import LogEvent, MetricName, make_logger, publish
from glovebox.usecases.reduce import Notification, ReduceRun
from pydantic import Field

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = make_logger()


class ReducerSettings(Settings):
    """What reducer needs to know."""

    table: str = Field(alias="GLOVEBOX_TABLE")
    data_bucket: str = Field(alias="GLOVEBOX_DATA_BUCKET")


@cache
def wired() -> ReduceRun:
    """The use case."""
    settings = ReducerSettings.from_env(os.environ)
    return ReduceRun(
        DynamoRuns(aws.dynamodb(), settings.table),
        S3Artifacts(aws.s3(), settings.data_bucket),
        SystemClock(),
    )


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Reduce the run and answer what subscribers are told."""
    logger.append_keys(run_id=event["run_id"])
    told = wired()(event["run_id"], broken=_reason(event.get("error")))
    logger.info(LogEvent.RUN_REDUCED, conclusion=told.conclusion)
    measure(told)
    return {"message": told.message, "attributes": told.attributes}


def measure(told: Notification) -> None:
    """Publish how the run ended, and its tests."""
    publish({MetricName.RUNS_FINISHED: 1}, conclusion=told.conclusion)
    summary = json.loads(told.message)["summary"]
    for result in Outcome:
        publish({MetricName.TESTS_FINISHED: summary[result]}, result=result)


def _reason(error: dict[str, Any] | None) -> str | None:
    """What broke the run, from the state machine's Error and Cause."""
    if not error:
        return None
    name, cause = error.get("Error", "unknown"), error.get("Cause", "")
    # A function's error arrives as the JSON text of its class, message and traceback.
    with suppress(ValueError, AttributeError):
        cause = json.loads(cause).get("errorMessage", cause)
    return f"{name}: {cause}"[:4000]

"""On a schedule: end what nobody owns any more."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from glovebox.adapters import aws
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.stepfunctions_workflow import StepFunctionsWorkflow
from glovebox.adapters.system import SystemClock
from glovebox.settings import Settings
from glovebox.telemetry import LogEvent, make_logger
from glovebox.usecases.reduce import ReduceRun
from glovebox.usecases.sweep import SweepRuns
from pydantic import Field

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = make_logger()


class SweeperSettings(Settings):
    """What sweeper needs to know."""

    table: str = Field(alias="GLOVEBOX_TABLE")
    data_bucket: str = Field(alias="GLOVEBOX_DATA_BUCKET")
    state_machine_arn: str = Field(alias="GLOVEBOX_STATE_MACHINE_ARN")
    hopx_base_url: str = Field(alias="HOPX_BASE_URL")
    hopx_api_key_secret: str = Field(alias="HOPX_API_KEY_SECRET")


@cache
def wired() -> SweepRuns:
    """The use case."""
    settings = SweeperSettings.from_env(os.environ)
    runs = DynamoRuns(aws.dynamodb(), settings.table)
    clock = SystemClock()
    sandboxes = HopxSandboxes(settings.hopx_base_url, aws.secret(settings.hopx_api_key_secret))
    reduce = ReduceRun(runs, S3Artifacts(aws.s3(), settings.data_bucket), clock, sandboxes)
    workflow = StepFunctionsWorkflow(aws.stepfunctions(), settings.state_machine_arn)
    return SweepRuns(runs, workflow, clock, reduce)


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Sweep once."""
    ended = wired()()
    logger.info(LogEvent.RUNS_SWEPT, ended=ended)

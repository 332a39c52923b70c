"""The state machine's first and repeated steps: prepare, plan, settle."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from glovebox.adapters import aws
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.hopx_images import HopxImages
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.system import SystemClock, new_token
from glovebox.settings import Settings
from glovebox.telemetry import LogEvent, make_logger
from glovebox.usecases.plan import PlanRun
from glovebox.usecases.prepare import PrepareRun
from glovebox.usecases.settle import SettleRound
from pydantic import Field

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = make_logger()


class PlannerSettings(Settings):
    """What planner needs to know."""

    table: str = Field(alias="GLOVEBOX_TABLE")
    data_bucket: str = Field(alias="GLOVEBOX_DATA_BUCKET")
    hopx_base_url: str = Field(alias="HOPX_BASE_URL")
    hopx_api_key_secret: str = Field(alias="HOPX_API_KEY_SECRET")
    max_parallelism: int = Field(alias="GLOVEBOX_MAX_PARALLELISM", ge=1)
    quick_images: bool = Field(alias="GLOVEBOX_QUICK_IMAGES")


@cache
def wired() -> tuple[PrepareRun, PlanRun, SettleRound]:
    """The three use cases."""
    settings = PlannerSettings.from_env(os.environ)
    key = aws.secret(settings.hopx_api_key_secret)
    sandboxes = HopxSandboxes(settings.hopx_base_url, key)
    images = HopxImages(settings.hopx_base_url, key, SystemClock())
    runs = DynamoRuns(aws.dynamodb(), settings.table)
    artifacts = S3Artifacts(aws.s3(), settings.data_bucket)
    clock = SystemClock()
    return (
        PrepareRun(sandboxes, runs, artifacts, clock, new_token),
        PlanRun(
            sandboxes,
            runs,
            artifacts,
            clock,
            new_token,
            settings.max_parallelism,
            images,
            settings.quick_images,
        ),
        SettleRound(sandboxes, runs, artifacts, clock, images, settings.quick_images),
    )


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Take one step. Errors leave by their class names, which the state machine knows."""
    prepare, plan, settle = wired()
    run_id, step = event["run_id"], event["step"]
    logger.append_keys(run_id=run_id)
    if step == "prepare":
        prepare(run_id)
        logger.info(LogEvent.RUN_PREPARED)
        return None
    if step == "plan":
        answer = plan(run_id)
        logger.info(LogEvent.RUN_PLANNED, batches=answer.batches)
    else:
        answer = settle(run_id, int(event["round"]))
        logger.info(LogEvent.ROUND_SETTLED, next_round=answer.round, batches=answer.batches)
    return answer.model_dump()

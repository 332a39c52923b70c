"""The state machine's first and repeated steps: prepare, plan, settle."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from glovebox.adapters import aws
from glovebox.adapters.dynamodb_pace import DynamoPace
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.hopx_images import HopxImages
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.adapters.provider_circuit import GuardedSandboxes
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.system import SystemClock, new_token
from glovebox.domain.pacing import PaceLimits
from glovebox.ports import Sandboxes
from glovebox.settings import Settings
from glovebox.telemetry import LogEvent, MetricName, make_logger, publish, publish_creations
from glovebox.usecases.pacing import PacedSandboxes
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
    manifest_bucket: str = Field(alias="GLOVEBOX_MANIFEST_BUCKET")
    hopx_base_url: str = Field(alias="HOPX_BASE_URL")
    hopx_api_key_secret: str = Field(alias="HOPX_API_KEY_SECRET")
    sandboxes_per_minute: int = Field(alias="GLOVEBOX_SANDBOXES_PER_MINUTE", ge=1)
    max_sandboxes: int = Field(alias="GLOVEBOX_MAX_SANDBOXES", ge=1)
    circuit_failures: int = Field(alias="GLOVEBOX_CIRCUIT_FAILURES", ge=0)
    max_parallelism: int = Field(alias="GLOVEBOX_MAX_PARALLELISM", ge=1)
    quick_images: bool = Field(alias="GLOVEBOX_QUICK_IMAGES")
    max_tests: int = Field(alias="GLOVEBOX_MAX_TESTS", ge=1)


def provider(settings: PlannerSettings, key: str) -> Sandboxes:
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
def wired() -> tuple[PrepareRun, PlanRun, SettleRound, PacedSandboxes]:
    """The three use cases, and the sandboxes that they create in turn."""
    settings = PlannerSettings.from_env(os.environ)
    key = aws.secret(settings.hopx_api_key_secret)
    images = HopxImages(settings.hopx_base_url, key, SystemClock())
    runs = DynamoRuns(aws.dynamodb(), settings.table)
    readable = (settings.manifest_bucket,)
    artifacts = S3Artifacts(aws.s3(), settings.data_bucket, readable)
    clock = SystemClock()
    limits = PaceLimits(settings.sandboxes_per_minute, settings.max_sandboxes)
    pace = DynamoPace(aws.dynamodb(), settings.table, limits, clock)
    sandboxes = PacedSandboxes(provider(settings, key), pace, clock, f"planner/{new_token()}")
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
            settings.max_tests,
        ),
        SettleRound(sandboxes, runs, artifacts, clock, images, settings.quick_images),
        sandboxes,
    )


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Take one step. Errors leave by their class names, which the state machine knows."""
    tally = wired()[-1].tally
    try:
        return take_step(event["step"], event["run_id"], event)
    finally:
        made = tally.take()
        publish_creations(made.seconds, throttles=made.throttled, faults=made.faults)


def take_step(step: str, run_id: str, event: dict[str, Any]) -> dict[str, Any] | None:
    """Take a step of a run, and answer what the state machine goes on with."""
    prepare, plan, settle, sandboxes = wired()
    # A creation may wait for minutes: a run that is cancelled meanwhile gets no sandbox.
    sandboxes.stopped = lambda: prepare.runs.run(run_id).stop_reason is not None
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

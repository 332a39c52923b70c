"""The S3 door: a manifest dropped into the manifest bucket becomes a run."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from glovebox.adapters import aws
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.sns_notices import SnsNotices
from glovebox.adapters.stepfunctions_workflow import StepFunctionsWorkflow
from glovebox.adapters.system import SystemClock
from glovebox.domain.caller import STACK_OWNER
from glovebox.domain.errors import ManifestError, NotFound, SourceError
from glovebox.domain.keys import NOT_MANIFESTS, run_id_for_object
from glovebox.domain.problem import Problem
from glovebox.domain.run import Origin
from glovebox.settings import Settings
from glovebox.telemetry import LogEvent, make_logger
from glovebox.usecases.accept import AcceptManifest
from glovebox.usecases.refuse import RefuseManifest
from pydantic import Field

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MANIFEST_LIMIT_BYTES = 2 * 1024 * 1024
DOOR = "s3"
logger = make_logger()


class IntakeSettings(Settings):
    """What intake needs to know."""

    table: str = Field(alias="GLOVEBOX_TABLE")
    data_bucket: str = Field(alias="GLOVEBOX_DATA_BUCKET")
    manifest_bucket: str = Field(alias="GLOVEBOX_MANIFEST_BUCKET")
    state_machine_arn: str = Field(alias="GLOVEBOX_STATE_MACHINE_ARN")
    run_topic_arn: str = Field(alias="GLOVEBOX_RUN_TOPIC_ARN")


@cache
def wired() -> tuple[AcceptManifest, RefuseManifest, S3Artifacts]:
    """The use cases, and the bucket that the manifests come from."""
    settings = IntakeSettings.from_env(os.environ)
    runs, clock = DynamoRuns(aws.dynamodb(), settings.table), SystemClock()
    manifests = S3Artifacts(aws.s3(), settings.manifest_bucket)
    accept = AcceptManifest(
        runs,
        S3Artifacts(aws.s3(), settings.data_bucket),
        StepFunctionsWorkflow(aws.stepfunctions(), settings.state_machine_arn),
        clock,
    )
    notices = SnsNotices(aws.sns(), settings.run_topic_arn)
    return accept, RefuseManifest(runs, manifests, notices, clock), manifests


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Take one "Object Created" event. Delivered again, it changes nothing."""
    accept, refuse, manifests = wired()
    bucket, item = event["detail"]["bucket"]["name"], event["detail"]["object"]
    key, version = item["key"], item.get("version-id")
    if key.endswith(NOT_MANIFESTS):
        return  # the rule lets none of these through; our own note must not make another
    origin = Origin(bucket=bucket, key=key, version=version)
    run_id = run_id_for_object(bucket, key, version or item.get("etag", ""))
    try:
        # This event's own version: events come late and out of order, and another version may
        # be the newest by now. It is another run.
        text = manifests.get(key, limit=MANIFEST_LIMIT_BYTES, version=version)
        run = accept(text, file=key, run_id=run_id, door=DOOR, owner=STACK_OWNER, origin=origin)
    except NotFound:
        logger.warning(LogEvent.RUN_REJECTED, run_id=run_id, reason="the object is gone")
    except (ManifestError, SourceError) as error:
        refuse(_as_problems(error, key), run_id=run_id, door=DOOR, origin=origin)
        logger.warning(LogEvent.RUN_REJECTED, run_id=run_id, reason=str(error))
    else:
        logger.info(LogEvent.RUN_ACCEPTED, run_id=run.run_id, name_of_run=run.name)


def _as_problems(error: ManifestError | SourceError, key: str) -> ManifestError:
    """A text that is too long to be read is refused like any other: a repeat would not make it
    shorter."""
    if isinstance(error, ManifestError):
        return error
    return ManifestError([Problem(str(error), "", key)])

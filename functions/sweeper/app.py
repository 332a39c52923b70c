"""On a schedule: give dead letters a result, end what nobody owns any more."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from glovebox.adapters import aws
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.hopx_images import HopxImages
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.sns_notices import SnsNotices
from glovebox.adapters.sqs_dead_letters import SqsDeadLetters
from glovebox.adapters.stepfunctions_workflow import StepFunctionsWorkflow
from glovebox.adapters.system import SystemClock, new_token
from glovebox.domain.errors import GloveboxError
from glovebox.settings import Settings
from glovebox.telemetry import LogEvent, MetricName, make_logger, publish
from glovebox.usecases.bury import BuryDeadLetters, Ending
from glovebox.usecases.reduce import ReduceRun
from glovebox.usecases.sweep import SweepRuns
from glovebox.usecases.sweep_images import SweepImages
from glovebox.usecases.sweep_sandboxes import SweepSandboxes
from pydantic import Field

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SecondsLeft = Callable[[], float]
LOGGED_NAMES = 50
logger = make_logger()


class SweepIncomplete(GloveboxError):
    """A part of the sweep failed; the others were done, and the next sweep repeats it."""


class SweeperSettings(Settings):
    """What sweeper needs to know."""

    table: str = Field(alias="GLOVEBOX_TABLE")
    data_bucket: str = Field(alias="GLOVEBOX_DATA_BUCKET")
    state_machine_arn: str = Field(alias="GLOVEBOX_STATE_MACHINE_ARN")
    dead_letter_queue_url: str = Field(alias="GLOVEBOX_DEAD_LETTER_QUEUE_URL")
    run_topic_arn: str = Field(alias="GLOVEBOX_RUN_TOPIC_ARN")
    hopx_base_url: str = Field(alias="HOPX_BASE_URL")
    hopx_api_key_secret: str = Field(alias="HOPX_API_KEY_SECRET")


class Wired:
    """The use cases, each made when it is its turn: one that cannot be made stops no other."""

    def __init__(self) -> None:
        self._settings = SweeperSettings.from_env(os.environ)
        self._runs = DynamoRuns(aws.dynamodb(), self._settings.table)
        self._artifacts = S3Artifacts(aws.s3(), self._settings.data_bucket)
        self._clock = SystemClock()
        self._workflow = StepFunctionsWorkflow(
            aws.stepfunctions(), self._settings.state_machine_arn
        )

    def bury(self) -> BuryDeadLetters:
        """Empties the dead-letter queue."""
        letters = SqsDeadLetters(aws.sqs(), self._settings.dead_letter_queue_url)
        return BuryDeadLetters(
            letters, self._runs, self._artifacts, self._workflow, self._clock, new_token
        )

    def sweep_runs(self) -> SweepRuns:
        """Ends runs."""
        reduce = ReduceRun(self._runs, self._artifacts, self._clock)
        notices = SnsNotices(aws.sns(), self._settings.run_topic_arn)
        return SweepRuns(self._runs, self._workflow, self._clock, reduce, notices)

    @cache  # noqa: B019 - there is one of these, as long as the process lives
    def sweep_sandboxes(self) -> SweepSandboxes:
        """Kills sandboxes. Kept: its client is slow to make."""
        key = aws.secret(self._settings.hopx_api_key_secret)
        sandboxes = HopxSandboxes(self._settings.hopx_base_url, key)
        return SweepSandboxes(sandboxes, self._runs, self._workflow, self._clock)

    @cache  # noqa: B019 - as above
    def sweep_images(self) -> SweepImages:
        """Removes images."""
        key = aws.secret(self._settings.hopx_api_key_secret)
        images = HopxImages(self._settings.hopx_base_url, key, self._clock)
        return SweepImages(images, self._runs, self._clock)


@cache
def wired() -> Wired:
    """The use cases."""
    return Wired()


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Sweep once, for as long as this invocation lasts. Raises SweepIncomplete."""

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    failed = [
        part.__name__
        for part, kept_back in PARTS.items()
        if not _is_done(part, kept_back, seconds_left)
    ]
    if failed:
        raise SweepIncomplete(", ".join(failed))


def _is_done(
    part: Callable[[SecondsLeft], None], kept_back: float, seconds_left: SecondsLeft
) -> bool:
    try:
        part(lambda: seconds_left() - kept_back)
    except Exception:
        # The boundary between the parts: none is to wait for another that fails at every sweep.
        logger.exception(LogEvent.SWEEP_FAILED, part=part.__name__)
        return False
    return True


def bury(seconds_left: SecondsLeft) -> None:
    """Empty the dead-letter queue."""
    for letter in wired().bury()(seconds_left):
        logger.warning(LogEvent.DEAD_LETTER_TAKEN, **asdict(letter))
        # What is left in the queue is counted when it is taken.
        taken = letter.ending not in (Ending.HELD, Ending.FAILED)
        publish({MetricName.DEAD_LETTERS: int(taken)})


def sweep_runs(seconds_left: SecondsLeft) -> None:
    """End runs that nobody drives any more."""
    swept = wired().sweep_runs()(seconds_left)
    logger.info(LogEvent.RUNS_SWEPT, **asdict(swept))


def sweep_sandboxes(seconds_left: SecondsLeft) -> None:
    """Kill sandboxes that have outlived their owner."""
    swept = wired().sweep_sandboxes()(seconds_left)
    publish({MetricName.ORPHANS_KILLED: len(swept.killed)})
    logger.info(
        LogEvent.SANDBOXES_SWEPT,
        seen=swept.seen,
        killed=len(swept.killed),
        failed=len(swept.failed),
        # A line of the log has its limit; a few names say which runs to look at.
        names=[*swept.killed, *swept.failed][:LOGGED_NAMES],
        reasons=sorted(set(swept.failed.values()))[:LOGGED_NAMES],
        complete=swept.complete,
        broken=swept.broken,
    )


def sweep_images(seconds_left: SecondsLeft) -> None:
    """Remove images that no run needs any more."""
    swept = wired().sweep_images()(seconds_left)
    logger.info(LogEvent.IMAGES_SWEPT, **asdict(swept))


PARTS: dict[Callable[[SecondsLeft], None], int] = {
    bury: 180,
    sweep_runs: 90,
    sweep_sandboxes: 0,
    sweep_images: 0,
}
"""In this order: runs wait for their dead letters, and sandboxes die with their runs. With the
seconds that a part leaves to those after it: a flood of letters is to keep no orphan alive."""

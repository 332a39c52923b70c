"""What functions log. Handlers only: use cases return facts, adapters use plain logging."""

from __future__ import annotations

from enum import StrEnum

from aws_lambda_powertools import Logger


class LogEvent(StrEnum):
    """Every message that people may query for. Data goes into fields, never into the message."""

    RUN_ACCEPTED = "run accepted"
    RUN_REJECTED = "run rejected"
    RUN_PREPARED = "run prepared"
    RUN_PLANNED = "run planned"
    ROUND_SETTLED = "round settled"
    BATCH_ENDED = "batch ended"
    BATCH_HANDED_ON = "batch handed on"
    RUN_REDUCED = "run reduced"
    RUNS_SWEPT = "runs swept"
    CIRCUIT_CHANGED = "circuit changed"
    SANDBOXES_SWEPT = "sandboxes swept"
    IMAGES_SWEPT = "images swept"
    DEAD_LETTER_TAKEN = "dead letter taken"
    SWEEP_FAILED = "sweep failed"
    MESSAGE_FAILED = "message failed"
    REQUEST_REFUSED = "request refused"


def make_logger() -> Logger:
    """The function's logger: JSON lines, named by POWERTOOLS_SERVICE_NAME."""
    return Logger()

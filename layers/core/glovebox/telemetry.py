"""What functions log and measure. Handlers only: use cases return facts, adapters use plain
logging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit, SchemaValidationError


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


class MetricName(StrEnum):
    """Every metric that the stack publishes. Run ids are no dimension: each value costs money."""

    RUNS_FINISHED = "RunsFinished"
    TESTS_FINISHED = "TestsFinished"
    SANDBOXES_CREATED = "SandboxesCreated"
    CREATION_SECONDS = "CreationSeconds"
    PROVIDER_THROTTLES = "ProviderThrottles"
    PROVIDER_FAULTS = "ProviderFaults"
    CIRCUITS_OPENED = "CircuitsOpened"
    BATCHES_HANDED_ON = "BatchesHandedOn"
    ORPHANS_KILLED = "OrphansKilled"
    DEAD_LETTERS = "DeadLetters"

    @property
    def unit(self) -> MetricUnit:
        """Seconds, or how many."""
        return MetricUnit.Seconds if self.value.endswith("Seconds") else MetricUnit.Count


def publish(metrics: Mapping[MetricName, float | Sequence[float]], **dimensions: str) -> None:
    """Publish measurements in one line of the log (EMF), beside the dimension `service`.

    Nothing is printed for zeros and empty sequences: a metric that is missing is a sum of 0.
    """
    emf = EphemeralMetrics()
    for name, word in dimensions.items():
        emf.add_dimension(name, word)
    measured = False
    for metric, values in metrics.items():
        for value in values if isinstance(values, Sequence) else [values]:
            if value or metric.unit is MetricUnit.Seconds:
                emf.add_metric(metric, metric.unit, value)
                measured = True
    # Whoever has no namespace has no CloudWatch; a figure is never worth a batch.
    with suppress(SchemaValidationError):
        if measured:
            emf.flush_metrics()


def publish_creations(seconds: Sequence[float], *, throttles: int, faults: int) -> None:
    """Publish what became of creations of sandboxes: the seconds of each, refusals, failures."""
    publish(
        {
            MetricName.SANDBOXES_CREATED: len(seconds),
            MetricName.CREATION_SECONDS: seconds,
            MetricName.PROVIDER_THROTTLES: throttles,
            MetricName.PROVIDER_FAULTS: faults,
        }
    )

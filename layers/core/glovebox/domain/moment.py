"""Points in time as the documents and tables carry them."""

from __future__ import annotations

from datetime import UTC, datetime


def to_timestamp(epoch_seconds: float) -> str:
    """ISO 8601 in UTC with microseconds and `Z`: sorts as text in the order of time."""
    moment = datetime.fromtimestamp(epoch_seconds, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_epoch_seconds(timestamp: str) -> float:
    """The inverse of `to_timestamp`. Raises ValueError on anything else."""
    return datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()

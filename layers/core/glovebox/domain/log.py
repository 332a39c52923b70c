"""What an attempt printed, bounded."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

INLINE_LOG_BYTES = 2048
"""Logs up to this size travel in the attempt's own row; DynamoDB bills writes by the KiB."""


class Log(BaseModel):
    """The captured output of an attempt: its text where short, a storage key where long."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    text: str | None = None
    """The output itself, if it is at most 2 KiB."""
    key: str | None = None
    """The key of the output in the data bucket, if it is longer."""
    bytes: int = 0
    """Size of the output as the process wrote it, before any cut."""
    truncated: bool = False
    """Whether the middle was cut out because the output was too long to keep."""

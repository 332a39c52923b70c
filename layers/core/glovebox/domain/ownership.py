"""Who needs what the provider keeps for us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SandboxOwner:
    """Whose a sandbox is, by the ledger."""

    run_id: str
    ended_at: float | None = None
    """When its attempt ended, seconds since the epoch; None while it runs, or has none."""
    until: float | None = None
    """When it must be over, where it serves no attempt; seconds since the epoch."""


@dataclass(frozen=True)
class ImageUse:
    """A run for which an image was baked, or found baked."""

    name: str
    run_id: str
    at: float
    """Seconds since the epoch."""

"""One build's record: what its status and its log tell while it is under way and after."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from glovebox_local.sandbox.envelopes import now

_MAX_LOG_CHARACTERS = 1024 * 1024

BuildStatus = Literal["building", "active", "failed"]


@dataclass(slots=True, eq=False)
class Build:
    """One build, under way or over, as its status and log tell."""

    id: str
    entry_id: str
    total_steps: int
    status: BuildStatus = "building"
    steps_done: int = 0
    current_step: str = ""
    error: str = ""
    log: str = ""
    started_at: str = field(default_factory=now)
    started: float = field(default_factory=time.monotonic)
    completed_at: str = ""
    seconds: float = 0.0

    def say(self, text: str) -> None:
        """Add to the log, which is cut when it has its size."""
        room = _MAX_LOG_CHARACTERS - len(self.log)
        if room > 0 and text:
            self.log += f"{text.rstrip()}\n"[:room]

    def end(self, status: BuildStatus, error: str = "") -> None:
        """It is over."""
        self.status, self.error = status, error
        if error:
            self.say(f"ERROR: {error}")
        self.completed_at = now()
        self.seconds = time.monotonic() - self.started

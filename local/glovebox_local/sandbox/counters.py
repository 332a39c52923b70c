"""What a sandbox's agent was asked, counted: how often, how long, how often in vain."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Per route ("GET /env"): requests, errors, and seconds in all."""

    started: float = field(default_factory=time.monotonic)
    requests: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sockets: int = 0
    """WebSockets that are open."""

    def count(self, route: str, status: int, seconds: float) -> None:
        """One more answer. ``route`` is one of ours, so that their number is bounded."""
        self.requests[route] = self.requests.get(route, 0) + 1
        self.seconds[route] = self.seconds.get(route, 0.0) + seconds
        if status >= 400:
            self.errors[route] = self.errors.get(route, 0) + 1

    @property
    def uptime_seconds(self) -> float:
        """How long the agent answers already."""
        return time.monotonic() - self.started

"""What a sandbox's agent was asked, counted: how often, how long, how often in vain."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Route:
    """The answers of one route: their number, errors among them, and seconds in all."""

    requests: int = 0
    errors: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Counters:
    """One agent's answers by route ("GET /env"), and its open WebSockets."""

    started: float = field(default_factory=time.monotonic)
    routes: dict[str, Route] = field(default_factory=dict)
    sockets: int = 0

    def count(self, name: str, status: int, seconds: float) -> None:
        """One more answer. ``name`` is a route of ours, so that their number is bounded."""
        route = self.routes.get(name)
        if route is None:
            route = self.routes[name] = Route()
        route.requests += 1
        route.seconds += seconds
        if status >= 400:
            route.errors += 1

    @property
    def requests(self) -> dict[str, int]:
        """How often each route was asked."""
        return {name: route.requests for name, route in self.routes.items()}

    @property
    def errors(self) -> dict[str, int]:
        """How often each route answered with an error, if it ever did."""
        return {name: route.errors for name, route in self.routes.items() if route.errors}

    @property
    def uptime_seconds(self) -> float:
        """How long the agent answers already."""
        return time.monotonic() - self.started

"""What the vendor's agent has and this service has not, each with its honest answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError, Reply, Request, reply_json
from glovebox_local.sandbox.sandboxes import Sandbox

Handler = Callable[[Request, Sandbox], Awaitable[Reply]]

DESKTOP = "/desktop/"
"""Every path below it is the desktop's."""


class AbsentRoutes:
    """``/cache/*`` (nothing is ever cached), ``/update/*`` and ``/desktop/*``."""

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], Handler] = {
            ("GET", "/cache/stats"): self._cache,
            ("POST", "/cache/clear"): self._clear,
            ("POST", "/update/upload"): self._update,
            ("POST", "/update/apply"): self._update,
            ("POST", "/update/restart"): self._update,
            ("GET", "/update/backups"): self._update,
        }

    async def desktop(self, _: Request, __: Sandbox) -> Reply:
        """There is no screen; what a desktop is made of is named, as the SDK reads it."""
        message = "the sandboxes of this service have no desktop"
        raise ApiError(503, "DESKTOP_NOT_AVAILABLE", message, missing_dependencies=["xvfb"])

    async def _cache(self, _: Request, __: Sandbox) -> Reply:
        figures = dict.fromkeys(("size", "count", "hits", "misses", "hit_rate"), 0)
        return reply_json({"enabled": False, **figures, "timestamp": now()})

    async def _clear(self, _: Request, __: Sandbox) -> Reply:
        message = "nothing is cached here: every execution runs"
        return reply_json({"success": True, "message": message, "entries_removed": 0})

    async def _update(self, _: Request, __: Sandbox) -> Reply:
        message = "the agent is part of the service and is updated with it"
        raise ApiError(503, "UPDATE_NOT_AVAILABLE", message)

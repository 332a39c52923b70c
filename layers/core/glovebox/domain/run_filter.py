"""Which runs of a list are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from glovebox.domain.outcome import Conclusion, RunState
from glovebox.domain.run import Run


@dataclass(frozen=True)
class RunFilter:
    """All that is set must hold."""

    name: str | None = None
    """The manifest's name, exactly."""
    state: RunState | None = None
    conclusion: Conclusion | None = None
    since: float | None = None
    """Epoch seconds: runs that were accepted then or later."""

    @property
    def takes_all(self) -> bool:
        """Whether nothing is set."""
        return self == RunFilter()

    def takes(self, run: Run) -> bool:
        """Whether the run is one that is asked for."""
        return (
            self.name in (None, run.name)
            and self.state in (None, run.state)
            and self.conclusion in (None, run.conclusion)
            and not self.is_past(run)
        )

    def is_past(self, run: Run) -> bool:
        """Whether this run, and so every older one, is too old."""
        return self.since is not None and run.created_at < self.since

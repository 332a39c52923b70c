"""What could be seen from outside: the ledger with its history, the documents, the provider's
sandboxes, the queues, the notifications.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from glovebox.domain.attempt import Attempt
from glovebox.domain.plan import PlannedTest
from glovebox.domain.run import Run


@dataclass(frozen=True)
class LiveSandbox:
    """A sandbox that the provider says is alive."""

    sandbox_id: str
    expires_at: float | None
    """Seconds since the epoch; None where it would live for ever."""


@dataclass(frozen=True)
class QueueView:
    """A queue. Depth counts waiting, hidden and delayed messages."""

    name: str
    depth: int = 0
    dead_letters: Sequence[str] | None = None
    """Bodies, of a dead-letter queue; None for any other."""


@dataclass(frozen=True)
class RunView:
    """One run. Histories are oldest first, and end with what is there now."""

    runs: Sequence[Run]
    planned: Sequence[PlannedTest] = ()
    attempts: Sequence[Sequence[Attempt]] = ()
    """For each attempt what was seen of its row."""
    reports: Sequence[bytes] = ()
    """Each report.json that was seen."""
    junit: bytes | None = None

    @property
    def run(self) -> Run:
        """The run as it is now."""
        return self.runs[-1]


@dataclass(frozen=True)
class World:
    """All that could be seen."""

    now: float
    runs: Sequence[RunView] = ()
    sandboxes: Sequence[LiveSandbox] = ()
    queues: Sequence[QueueView] = ()
    notices: Sequence[str] | None = None
    """Bodies of the notifications received; None where nobody listened."""
    texts: Iterable[tuple[str, bytes]] = ()
    """Everything that came out, with the place it was found in."""
    executions: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    """How often attempts (run, test id, number) really ran, as the tests themselves told."""

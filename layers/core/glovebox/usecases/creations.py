"""What became of a launcher's creations: how many, how long they took, what the provider said."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from glovebox.domain.errors import SandboxError, SandboxUnavailable


@dataclass(frozen=True)
class Creations:
    """Creations of sandboxes since somebody last asked."""

    seconds: tuple[float, ...] = ()
    """Of each sandbox that was created: from the wish to the sandbox, the wait for its turn too."""
    throttled: int = 0
    """Refusals that said when to come again (429)."""
    faults: int = 0
    """Creations that failed otherwise: no answer, 5xx, a malformed answer, a refusal."""


@dataclass
class CreationTally:
    """Counts creations. Thread-safe."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seconds: list[float] = field(default_factory=list)
    _throttled: int = 0
    _faults: int = 0

    def created(self, seconds: float) -> None:
        """A sandbox was created, so many seconds after it was wished for."""
        with self._lock:
            self._seconds.append(seconds)

    def failed(self, error: SandboxError) -> None:
        """A creation failed. One that the provider was never asked for is nothing of its doing."""
        with self._lock:
            if not isinstance(error, SandboxUnavailable):
                self._faults += 1
            elif error.asked and error.retry_after_seconds is not None:
                self._throttled += 1
            elif error.asked:
                self._faults += 1

    def take(self) -> Creations:
        """What was counted since the last call."""
        with self._lock:
            taken = Creations(tuple(self._seconds), self._throttled, self._faults)
            self._seconds, self._throttled, self._faults = [], 0, 0
        return taken

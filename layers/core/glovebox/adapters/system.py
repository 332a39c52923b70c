"""Time and chance."""

from __future__ import annotations

import secrets
import time


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def new_token() -> str:
    """32 hex digits, unguessable."""
    return secrets.token_hex(16)

"""Ctrl-C and SIGTERM: what the first does, what the second does, and when neither may cut in."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SLICE_SECONDS = 0.05  # how fast a wait notices a signal
_LEAVING_SECONDS = 10.0
"""Once on the way out, further signals are ignored this long, so that what was started is stopped.
After that they raise again, for whoever is still stuck."""


class Interrupted(KeyboardInterrupt):
    """The user wants out. Not an Exception, so no handler for errors swallows it."""


class Interruption:
    """Signals of this process, from the moment it is installed.

    Outside `deferred`, a signal raises at once: nothing is under way that would need a farewell.
    Inside, the first only sets `requested`, for the loop to cancel the run and to say so; the
    second raises. Inside `shielded` none raises: a stack that is being stopped gets stopped.
    """

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False
        self._shielded = False
        self._raised_at: float | None = None

    @contextmanager
    def installed(self) -> Iterator[Interruption]:
        """Handle SIGINT and SIGTERM until the end of the block."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        previous: dict[int, Any] = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """The block looks at `requested` by itself; only a second signal cuts in."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """The block is carried through whatever comes."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False

    def sleep(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Wait, but no longer than until `until` holds."""
        end = time.monotonic() + seconds
        # Slices, not an Event: setting one from a signal handler can deadlock with its waiter.
        while (left := end - time.monotonic()) > 0 and not until():
            time.sleep(min(left, _SLICE_SECONDS))

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if self._shielded or (self._deferred and not again):
            return
        now = time.monotonic()
        if self._raised_at is not None and now - self._raised_at < _LEAVING_SECONDS:
            return
        self._raised_at = now
        raise Interrupted

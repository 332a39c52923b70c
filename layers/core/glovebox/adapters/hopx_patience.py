"""How often a request is made again, and how long all of it may take."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from glovebox.adapters.hopx_trouble import Trouble
from glovebox.adapters.hopx_wire import CONTROL_BYTES, within
from glovebox.ports import Clock

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Bounds of one request with all its repeats."""

    tries: int
    try_seconds: float
    """A single try, from connecting to the last byte."""
    seconds: float
    """All tries and the pauses between them."""
    max_bytes: int = CONTROL_BYTES
    """Of one answer."""


def pause_seconds(tried: int, wish: float | None, jitter: float) -> float:
    """The pause after so many tries: doubling, spread over its upper half, and never shorter than
    the provider wishes. `jitter` is in [0, 1)."""
    grown = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (tried - 1))
    return max(grown * (0.5 + jitter / 2), wish or 0.0)


def persist(
    call: Callable[[], T],
    patience: Patience,
    clock: Clock,
    *,
    worth: Callable[[Trouble], bool] = lambda trouble: trouble.is_passing,
    before_repeat: Callable[[Trouble, int], bool] = lambda _trouble, _tried: True,
    jitter: Callable[[], float] = random.random,
) -> T:
    """What the call returns. Raises the last Trouble once it is not worth it, or time is over.

    `before_repeat` is told of each trouble and how many tries there were; it may raise, and
    answers whether to pause. A wish that does not fit into the time left ends it at once.
    """
    give_up_at = clock.monotonic() + patience.seconds
    tried = 0
    while True:
        left = give_up_at - clock.monotonic()
        try:
            with within(min(patience.try_seconds, left), patience.max_bytes):
                return call()
        except Trouble as trouble:
            tried += 1
            if tried >= patience.tries or not worth(trouble):
                raise
            pause = 0.0
            with within(give_up_at - clock.monotonic(), CONTROL_BYTES):
                if before_repeat(trouble, tried):
                    pause = pause_seconds(tried, trouble.retry_after_seconds, jitter())
            if clock.monotonic() + pause >= give_up_at:
                raise
        clock.sleep(pause)

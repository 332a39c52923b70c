"""How often HopX is asked again, and for how long, on a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from glovebox.adapters.hopx_patience import (
    LONGEST_PAUSE_SECONDS,
    Patience,
    pause_seconds,
    persist,
)
from glovebox.adapters.hopx_trouble import Trouble
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeClock

PATIENCE = Patience(tries=5, try_seconds=10, seconds=30)


def failing(clock: FakeClock, troubles: Sequence[Trouble], seconds: float = 0) -> Callable[[], int]:
    """A call that takes so long, ends with each of the troubles in turn, and then with 7."""
    left = list(troubles)

    def call() -> int:
        clock.advance(seconds)
        if left:
            raise left.pop(0)
        return 7

    return call


def busy(wish: float | None = None) -> Trouble:
    return Trouble("busy", status=429, retry_after_seconds=wish)


def test_what_passes_is_asked_again_with_doubling_pauses() -> None:
    clock = FakeClock()
    call = failing(clock, [busy(), Trouble("no answer"), Trouble("half", status=502)])
    assert persist(call, PATIENCE, clock, jitter=lambda: 1.0) == 7
    assert clock.slept == [0.2, 0.4, 0.8]


def test_pauses_are_spread_over_their_upper_half_and_end_growing() -> None:
    assert pause_seconds(1, None, 0.0) == pytest.approx(0.1)
    assert pause_seconds(1, None, 0.999) == pytest.approx(0.2, rel=0.01)
    assert pause_seconds(30, None, 1.0) == LONGEST_PAUSE_SECONDS


def test_a_wish_of_the_provider_is_the_shortest_pause() -> None:
    assert pause_seconds(1, 3.0, 0.5) == 3.0
    assert pause_seconds(30, 0.1, 1.0) == LONGEST_PAUSE_SECONDS


def test_a_wish_that_does_not_fit_ends_it_at_once_and_is_handed_on() -> None:
    clock = FakeClock()
    with pytest.raises(Trouble) as caught:
        persist(failing(clock, [busy(31)]), PATIENCE, clock)
    assert caught.value.retry_after_seconds == 31
    assert clock.slept == []


def test_what_does_not_pass_is_asked_once() -> None:
    clock = FakeClock()
    with pytest.raises(Trouble):
        persist(failing(clock, [Trouble("no", status=400)]), PATIENCE, clock)
    assert clock.slept == []


def test_tries_are_counted() -> None:
    clock = FakeClock()
    call = failing(clock, [Trouble(str(number)) for number in range(10)])
    with pytest.raises(Trouble, match="4"):
        persist(call, PATIENCE, clock)
    assert len(clock.slept) == PATIENCE.tries - 1


def test_slow_tries_use_up_the_time_of_all() -> None:
    clock = FakeClock()
    troubles = [Trouble(str(number)) for number in range(10)]
    with pytest.raises(Trouble, match="2"):
        persist(failing(clock, troubles, seconds=10), PATIENCE, clock)


def test_what_is_done_before_a_repeat_may_end_it_or_spare_the_pause() -> None:
    clock = FakeClock()
    told: list[tuple[str, int]] = []

    def before(trouble: Trouble, tried: int) -> bool:
        told.append((trouble.words, tried))
        if trouble.words == "gone":
            raise LookupError
        return trouble.words != "token"

    call = failing(clock, [Trouble("token"), Trouble("drop"), Trouble("gone")])
    with pytest.raises(LookupError):
        persist(call, PATIENCE, clock, before_repeat=before, jitter=lambda: 1.0)
    assert told == [("token", 1), ("drop", 2), ("gone", 3)]
    assert clock.slept == [0.0, 0.4]


@given(
    st.lists(st.tuples(st.none() | st.floats(0, 400), st.floats(0, 15)), max_size=12),
    st.floats(0, 0.999),
)
def test_however_it_fails_all_of_it_is_bounded(
    failures: list[tuple[float | None, float]], jitter: float
) -> None:
    clock = FakeClock()
    tries: list[float] = []

    def call() -> None:
        wish, seconds = failures[len(tries)] if len(tries) < len(failures) else (None, 0.0)
        # No try outlasts its own bound, nor what is left of all.
        took = min(seconds, PATIENCE.try_seconds, PATIENCE.seconds - clock.monotonic())
        tries.append(took)
        clock.advance(took)
        if len(tries) <= len(failures):
            raise busy(wish)

    try:
        persist(call, PATIENCE, clock, jitter=lambda: jitter)
    except Trouble:
        assert tries
    assert len(tries) <= PATIENCE.tries
    assert clock.monotonic() <= PATIENCE.seconds + 1e-6

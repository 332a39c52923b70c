from __future__ import annotations

import pytest
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.quotas import QuotaCounter, TokenBucket
from glovebox_local.sandbox.settings import Quotas


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refusal(counter: QuotaCounter, live: int = 0) -> ApiError:
    with pytest.raises(ApiError) as refused:
        counter.admit(live)
    return refused.value


def test_a_bucket_gives_a_minutes_worth_at_once_and_then_one_at_a_time() -> None:
    clock = Clock()
    bucket = TokenBucket(20, clock)
    assert [bucket.take() for _ in range(20)] == [0.0] * 20
    assert bucket.take() == pytest.approx(3)
    clock.now += 2
    assert bucket.take() == pytest.approx(1)
    clock.now += 1
    assert bucket.take() == 0
    assert bucket.take() == pytest.approx(3)


def test_a_bucket_never_holds_more_than_a_minutes_worth() -> None:
    clock = Clock()
    bucket = TokenBucket(2, clock)
    clock.now += 3600
    assert [bucket.take() > 0 for _ in range(3)] == [False, False, True]


def test_waiting_as_long_as_was_said_is_enough() -> None:
    clock = Clock()
    counter = QuotaCounter(Quotas(creates_per_minute=7), clock)
    for _ in range(7):
        counter.admit(0)
    for _ in range(5):
        error = refusal(counter)
        assert (error.status, error.code) == (429, "RATE_LIMIT_EXCEEDED")
        clock.now += error.details["retry_after_seconds"]
        counter.admit(0)


def test_refusals_cost_nothing() -> None:
    clock = Clock()
    counter = QuotaCounter(Quotas(creates_per_minute=1, plan_limit=1), clock)
    assert [refusal(counter, live=1).status for _ in range(5)] == [403] * 5
    counter.admit(0)


def test_credits_are_spent_by_what_was_made_and_not_by_what_failed() -> None:
    counter = QuotaCounter(Quotas(credits=2))
    counter.admit(0)
    counter.admit(0)
    counter.refund()
    counter.admit(0)
    error = refusal(counter)
    assert (error.status, error.code, error.details) == (
        402,
        "INSUFFICIENT_CREDITS",
        {"credits": 2},
    )


def test_the_plans_limit_is_what_the_sdk_takes_for_one() -> None:
    error = refusal(QuotaCounter(Quotas(plan_limit=3)), live=3)
    assert error.status == 403
    assert "limit" in error.message
    assert error.details == {"limit": 3, "current": 3, "available": 0}


def test_without_quotas_everybody_is_admitted() -> None:
    counter = QuotaCounter(Quotas())
    for live in range(1000):
        counter.admit(live)

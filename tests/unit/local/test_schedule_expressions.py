"""AWS's rate, cron and at expressions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from glovebox_local.delivery.cron import parse_schedule
from glovebox_local.delivery.schedules import ScheduleTicker
from glovebox_local.errors import TemplateError


def due(expression: str, moment: str) -> bool:
    matches = parse_schedule(expression).matches
    assert matches is not None
    return matches(datetime.fromisoformat(moment))


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(5 minutes)", 300),
        ("rate(2 hours)", 7200),
        ("rate(1 day)", 86400),
    ],
)
def test_a_rate_is_an_interval(expression: str, seconds: int) -> None:
    assert parse_schedule(expression).every == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("expression", "yes", "no"),
    [
        ("cron(0 12 * * ? *)", "2030-01-01T12:00", "2030-01-01T12:01"),
        ("cron(*/15 * * * ? *)", "2030-01-01T03:45", "2030-01-01T03:46"),
        ("cron(0 8 ? * MON-FRI *)", "2030-01-04T08:00", "2030-01-05T08:00"),
        ("cron(0 8 ? * SAT-MON *)", "2030-01-06T08:00", "2030-01-08T08:00"),
        ("cron(0 8 1,15 JAN ? 2030)", "2030-01-15T08:00", "2031-01-15T08:00"),
        ("cron(0 8 L * ? *)", "2028-02-29T08:00", "2028-02-28T08:00"),
        ("cron(0 8 ? * 6L *)", "2030-01-25T08:00", "2030-01-18T08:00"),
        ("cron(0 8 ? * TUE#2 *)", "2030-01-08T08:00", "2030-01-01T08:00"),
        ("cron(0 8 5W * ? *)", "2030-01-04T08:00", "2030-01-05T08:00"),
    ],
)
def test_a_cron_expression_picks_its_minutes(expression: str, yes: str, no: str) -> None:
    assert due(expression, yes)
    assert not due(expression, no)


@pytest.mark.parametrize(
    "expression",
    [
        "every minute",
        "rate(0.5 minutes)",
        "cron(0 12 * * *)",
        "cron(0 12 * * * *)",
        "cron(61 12 * * ? *)",
        "cron(0 12 ? * ? *)",
    ],
)
def test_what_aws_would_refuse_is_refused(expression: str) -> None:
    with pytest.raises(TemplateError):
        parse_schedule(expression)


class Hand:
    """A clock that is set by hand."""

    def __init__(self, moment: str) -> None:
        self.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_a_schedule_is_due_in_its_own_time_zone() -> None:
    clock = Hand("2030-07-01T06:59:50")
    ticker = ScheduleTicker(clock, 1)
    fired: list[datetime] = []
    ticker.add("cron(0 9 * * ? *)", fired.append, "Europe/Paris")
    clock.now += timedelta(seconds=20)
    ticker.tick()
    ticker.tick()
    assert fired == [datetime(2030, 7, 1, 7, 0, tzinfo=UTC)]


def test_a_single_moment_fires_once() -> None:
    clock = Hand("2030-01-01T00:00:00")
    ticker = ScheduleTicker(clock, 1)
    fired: list[datetime] = []
    ticker.add("at(2030-01-01T00:00:30)", fired.append)
    for _ in range(3):
        clock.now += timedelta(seconds=25)
        ticker.tick()
    assert len(fired) == 1


def test_a_target_that_fails_does_not_stop_the_clock() -> None:
    clock = Hand("2030-01-01T00:00:00")
    ticker = ScheduleTicker(clock, 1)
    fired: list[datetime] = []

    def fail(_: datetime) -> None:
        raise RuntimeError

    ticker.add("rate(1 minute)", fail)
    ticker.add("rate(1 minute)", fired.append)
    clock.now += timedelta(minutes=1)
    ticker.tick()
    assert len(fired) == 1

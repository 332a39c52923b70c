"""AWS schedule expressions: ``rate(5 minutes)``, ``cron(0 12 ? * MON-FRI *)``, ``at(…)``."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from glovebox_local.errors import TemplateError

_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_CRON = re.compile(r"cron\((.+)\)")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_MONTHS = {name.upper(): i for i, name in enumerate(calendar.month_abbr) if name}
# AWS counts the days of the week from Sunday = 1.
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}

# Whether a schedule is due at a minute (naive, in the schedule's own time zone).
MinuteTest = Callable[[datetime], bool]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed expression: an interval from creation on, one moment, or a test of each minute."""

    every: timedelta | None = None
    once: datetime | None = None
    matches: MinuteTest | None = None


def parse_schedule(expression: str) -> Schedule:
    """Parse an expression. Raises TemplateError for one that AWS would refuse."""
    text = expression.strip()
    if found := _RATE.fullmatch(text):
        return Schedule(every=timedelta(seconds=int(found[1]) * _UNITS[found[2]]))
    if found := _AT.fullmatch(text):
        return Schedule(once=datetime.fromisoformat(found[1]))
    if found := _CRON.fullmatch(text):
        return Schedule(matches=_cron(found[1], expression))
    msg = f"not a schedule expression: {expression!r}"
    raise TemplateError(msg)


def _cron(fields: str, expression: str) -> MinuteTest:
    parts = fields.split()
    if len(parts) != 6:
        msg = f"a cron expression has six fields: {expression!r}"
        raise TemplateError(msg)
    if (parts[2] == "?") == (parts[4] == "?"):
        msg = f"exactly one of day-of-month and day-of-week must be '?': {expression!r}"
        raise TemplateError(msg)
    try:
        minutes = _values(parts[0], 0, 59)
        hours = _values(parts[1], 0, 23)
        months = _values(parts[3], 1, 12, _MONTHS)
        years = _values(parts[5], 1970, 2199)
        day = _day_of_month(parts[2]) if parts[4] == "?" else _day_of_week(parts[4])
    except ValueError as error:
        msg = f"bad cron expression {expression!r}: {error}"
        raise TemplateError(msg) from error

    def matches(moment: datetime) -> bool:
        return (
            moment.minute in minutes
            and moment.hour in hours
            and moment.month in months
            and moment.year in years
            and day(moment)
        )

    return matches


def _values(field: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = _number(start, names)
            last = _number(end, names) if dash else (high if step else first)
        if not low <= first <= high or not low <= last <= high:
            msg = f"{part!r} is not within {low}-{high}"
            raise ValueError(msg)
        stride = int(step) if step else 1
        if first > last:  # SAT-MON goes round the end
            found |= set(range(first, high + 1, stride)) | set(range(low, last + 1, stride))
        else:
            found |= set(range(first, last + 1, stride))
    return found


def _number(text: str, names: dict[str, int] | None) -> int:
    if names and text.upper() in names:
        return names[text.upper()]
    return int(text)


def _last_day(moment: datetime) -> int:
    return calendar.monthrange(moment.year, moment.month)[1]


def _day_of_month(field: str) -> MinuteTest:
    if field == "L":
        return lambda moment: moment.day == _last_day(moment)
    if field.endswith("W"):
        wanted = int(field[:-1])
        return lambda moment: moment.day == _nearest_weekday(moment, wanted)
    days = _values(field, 1, 31)
    return lambda moment: moment.day in days


def _nearest_weekday(moment: datetime, day: int) -> int:
    """The working day nearest to a day of the month, without leaving the month."""
    last = _last_day(moment)
    day = min(day, last)
    weekday = moment.replace(day=day).weekday()
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < last else day - 2
    return day


def _day_of_week(field: str) -> MinuteTest:
    if "#" in field:
        name, _, nth = field.partition("#")
        wanted, which = _number(name, _DAYS), int(nth)
        return lambda m: _aws_weekday(m) == wanted and (m.day - 1) // 7 + 1 == which
    if field.endswith("L"):
        wanted = _number(field[:-1], _DAYS) if field != "L" else 7
        return lambda m: _aws_weekday(m) == wanted and m.day > _last_day(m) - 7
    days = _values(field, 1, 7, _DAYS)
    return lambda moment: _aws_weekday(moment) in days


def _aws_weekday(moment: datetime) -> int:
    return moment.isoweekday() % 7 + 1


def minutes_between(after: datetime, until: datetime) -> Iterable[datetime]:
    """Every full minute later than ``after`` and not later than ``until``."""
    minute = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while minute <= until:
        yield minute
        minute += timedelta(minutes=1)

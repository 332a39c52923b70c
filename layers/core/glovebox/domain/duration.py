"""Durations as people write them: `30s`, `5m`, `1h`, `1m30s`; whole seconds inside."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from glovebox.domain.problem import Refusal, quoted

SHORTEST_SECONDS = 1
LONGEST_SECONDS = 24 * 3600

# Hours, minutes, seconds: each at most once, in this order, at least one of them. Without a
# look-ahead, so that every JSON Schema validator understands it.
DURATION_PATTERN = (
    "^([0-9]{1,5}h([0-9]{1,5}m)?([0-9]{1,5}s)?|[0-9]{1,5}m([0-9]{1,5}s)?|[0-9]{1,5}s)$"
)
_DURATION = re.compile(DURATION_PATTERN)
_PART = re.compile("([0-9]+)([hms])")
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_CLOCK = re.compile("([0-9]{1,2}):([0-5][0-9])")
_ADVICE = "write a duration such as 60s, 5m or 1h30m"


def parse_duration(text: str) -> int:
    """Return the seconds that `text` says; raise `Refusal` where it is not from 1s to 24h."""
    if not _DURATION.fullmatch(text):
        words = f"{quoted(text)} is not a duration; {_ADVICE}"
        raise Refusal(words, _meant(text))
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        words = f"{quoted(text)} is out of range; a duration is from 1s to 24h"
        raise Refusal(words)
    return seconds


def format_duration(seconds: int) -> str:
    """Write whole seconds in the shortest exact form: 90 is `1m30s`, 3600 is `1h`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (left, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def _meant(text: str) -> str | None:
    """Return the duration behind the usual slips: no unit, capitals, spaces, a clock's colon."""
    if clock := _CLOCK.fullmatch(text):
        text = f"{int(clock[1])}m{int(clock[2])}s"
    tidy = text.lower().replace(" ", "")
    if re.fullmatch("[0-9]{1,5}", tidy):
        return f"{tidy}s" if 0 < int(tidy) <= LONGEST_SECONDS else None
    if not _DURATION.fullmatch(tidy):
        return None
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(tidy))
    return format_duration(seconds) if 0 < seconds <= LONGEST_SECONDS else None


def _seconds(value: object) -> int:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(_ADVICE)
    words = f"a number needs a unit; {_ADVICE}"
    raise Refusal(words, _meant(str(value)) if abs(value) <= LONGEST_SECONDS else None)


Duration = Annotated[
    int,
    BeforeValidator(_seconds),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "1m30s"]}),
]
"""Seconds in the model, text such as `1m30s` outside. Takes text only: numbers have no unit."""

"""docs/operating.md names every parameter, output and log event, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from glovebox.telemetry import LogEvent

from tests.stack.definitions import template

TEXT = (Path(__file__).parents[2] / "docs/operating.md").read_text(encoding="utf-8")


def first_column(heading: str) -> set[str]:
    table = TEXT.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE))


def test_every_parameter_is_documented() -> None:
    assert first_column("parameter") == set(template()["Parameters"])


def test_every_output_is_documented() -> None:
    assert first_column("output") == set(template()["Outputs"])


def test_every_log_event_is_documented() -> None:
    assert first_column("message") == {event.value for event in LogEvent}

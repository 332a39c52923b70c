"""docs/operating.md names every parameter, output and log event, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from glovebox.telemetry import LogEvent, MetricName

from tests.stack.definitions import resources, template

TEXT = (Path(__file__).parents[2] / "docs/operating.md").read_text(encoding="utf-8")


def first_column(heading: str) -> set[str]:
    table = TEXT.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE))


def test_every_parameter_is_documented() -> None:
    assert first_column("parameter") == set(template()["Parameters"])


def test_every_output_is_documented() -> None:
    assert first_column("output") == set(template()["Outputs"])


def test_every_alarm_is_documented() -> None:
    assert first_column("alarm") == set(resources("AWS::CloudWatch::Alarm"))


def test_every_log_event_is_documented() -> None:
    assert first_column("message") == {event.value for event in LogEvent}


def test_every_metric_is_documented_with_its_unit_and_a_query() -> None:
    assert first_column("metric") == {metric.value for metric in MetricName}
    for metric in MetricName:
        assert f"| `{metric}` | {metric.unit.value.lower()} |" in TEXT
        assert re.search(rf"^metric {metric} \w+ Name=service,", TEXT, re.MULTILINE)

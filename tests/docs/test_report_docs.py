"""docs/report.md names every field of the report, and nothing else in a field's place."""

from __future__ import annotations

import re
from pathlib import Path

from glovebox.domain.attempt import Fault
from glovebox.domain.log import Log
from glovebox.domain.report import AttemptReport, Report, Summary, TestReport, Usage
from pydantic import BaseModel

TEXT = (Path(__file__).parents[2] / "docs/report.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    "## Run": Report,
    "## `summary`": Summary,
    "## `tests[]`": TestReport,
    "## `attempts[]`": AttemptReport,
    "## `usage`": Usage,
}


def fields_in(section: str) -> set[str]:
    body = TEXT.split(section + "\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in body.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_field_is_documented_and_every_documented_field_exists() -> None:
    for section, model in SECTIONS.items():
        assert fields_in(section) == set(model.model_fields), section


def test_every_fault_and_log_field_is_named() -> None:
    for word in [*Fault, *Log.model_fields]:
        assert word in TEXT

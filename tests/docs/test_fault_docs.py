"""The page of faults names tests that exist, and none of the rows is missing."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/faults.md"
ROWS = re.findall(r"^\| (\d+) \|.*$", PAGE.read_text(), re.MULTILINE)
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE.read_text())


def test_every_row_is_there_once() -> None:
    assert [int(row) for row in ROWS] == list(range(1, 37))


def test_a_row_without_a_test_is_argued() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    for line in lines:
        assert "`tests/" in line or "operating.md#what-cannot-be-tried-here" in line, line
    assert "## What cannot be tried here" in (ROOT / "docs/operating.md").read_text()


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 36
    for file, name in NAMED:
        path = ROOT / file
        assert path.is_file(), file
        if name:
            assert f"def {name}(" in path.read_text(), f"{file}::{name}"

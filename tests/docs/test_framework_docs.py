"""docs/frameworks.md tells of every framework, and its examples are manifests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from glovebox.domain.manifest import FrameworkName
from glovebox.domain.manifest_text import load_manifest
from glovebox.frameworks.title_path import Copies, titled_id

PAGE = (Path(__file__).parents[2] / "docs/frameworks.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_every_framework_has_its_row_and_nothing_else_has() -> None:
    rows = re.findall(r"^\| `([a-z:-]+)` \|", PAGE, re.MULTILINE)
    assert set(rows) == set(FrameworkName)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_valid_manifest(example: str) -> None:
    load_manifest(example, file="glovebox.yml")


def test_ids_are_written_as_the_page_says() -> None:
    copies = Copies()
    second = [copies.next_id("a.test.js", ["twice"]) for _ in range(2)][1]
    assert f"`{second}`" in PAGE
    assert titled_id("a", [">", "\\", "\n"]) == r"a > \> > \\ > \u{a}"
    assert all(f"`{text}`" in PAGE for text in (r"\>", r"\\", r"\u{a}"))

"""`make test` names the folders of tests; one that it forgets would be green for ever."""

from __future__ import annotations

import re

from tests.stack.definitions import ROOT


def test_make_runs_every_folder_of_tests() -> None:
    text = (ROOT / "Makefile").read_text()
    named = re.findall(r"^(?:SIDE_BY_SIDE|ALONE) := (.*)$", text, re.MULTILINE)
    found = {f"tests/{path.name}" for path in (ROOT / "tests").iterdir() if path.is_dir()}
    holding = {folder for folder in found if any((ROOT / folder).rglob("test_*.py"))}
    assert set(" ".join(named).split()) == holding

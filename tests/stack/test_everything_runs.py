"""`make test` names the folders of tests; one that it forgets would be green for ever."""

from __future__ import annotations

import re
from pathlib import Path

from tests.stack.definitions import ROOT

GROUPS = ("SIDE_BY_SIDE", "FILE_BY_FILE", "LOUD", "ALONE", "LAB")


def test_make_runs_every_file_of_tests_once() -> None:
    text = (ROOT / "Makefile").read_text()
    assert all(f"$({name})" in text for name in GROUPS)
    assert "--ignore $(LOUD) $(FILE_BY_FILE)" in text
    named = {
        name: re.findall(rf"^{name} := (.*)$", text, re.MULTILINE)[0].split() for name in GROUPS
    }
    assert "for folder in $(ALONE); do" in text
    assert "$(LAB:%=--ignore=%) $$folder" in text
    assert "for part in $(LAB); do" in text

    def group_of(file: Path) -> list[str]:
        found = [
            name for name in GROUPS for path in named[name] if file.is_relative_to(ROOT / path)
        ]
        # These are taken out of the others.
        apart: list[str] = [name for name in ("LOUD", "LAB") if name in found]
        return apart or found

    files = [
        file for file in (ROOT / "tests").rglob("test_*.py") if "node_modules" not in str(file)
    ]
    assert files
    assert {str(file): group_of(file) for file in files if len(group_of(file)) != 1} == {}

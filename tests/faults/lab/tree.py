"""A copy of the project's tree: links to the product, two functions wrapped, a template of
shorter times.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.lab.shared import FOLDER_VARIABLE

ROOT = Path(__file__).resolve().parents[3]
WRAPPED = ("launcher", "planner")
LAUNCHER_SECONDS = 10
VISIBILITY_SECONDS = 5
"""Shorter than a launcher may take: a long batch is delivered again while it is driven."""
APP = """\
import sys
sys.path.insert(0, {root!r})
from tests.faults.lab.{name} import lambda_handler
"""


def make_tree(folder: Path, records: Path) -> Path:
    """Make the copy in a folder, and return its template. `records` is the functions' journal."""
    for path in ROOT.iterdir():
        if path.name in ("layers", "statemachine"):
            (folder / path.name).symlink_to(path)
    (folder / "functions").mkdir()
    for path in (ROOT / "functions").iterdir():
        copied = folder / "functions" / path.name
        if path.name in WRAPPED:
            copied.mkdir()
            (copied / "app.py").write_text(APP.format(root=str(ROOT), name=path.name))
        elif path.is_dir():
            copied.symlink_to(path)
    template = folder / "template.yaml"
    template.write_text(_shorter((ROOT / "template.yaml").read_text(), records))
    return template


def _shorter(text: str, records: Path) -> str:
    for name in WRAPPED:
        service = f"          POWERTOOLS_SERVICE_NAME: {name}\n"
        text = _replaced(
            text, re.escape(service), f"{service}          {FOLDER_VARIABLE}: {records}\n"
        )
    text = _replaced(text, "VisibilityTimeout: 5400", f"VisibilityTimeout: {VISIBILITY_SECONDS}")
    return _replaced(
        text, r"(CodeUri: functions/launcher/\n      Timeout:) 900", rf"\1 {LAUNCHER_SECONDS}"
    )


def _replaced(text: str, pattern: str, replacement: str) -> str:
    text, count = re.subn(pattern, replacement, text)
    assert count == 1, f"{pattern}: {count} times in the template"
    return text

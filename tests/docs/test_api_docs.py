"""docs/api.md names every route and every code of failure, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/api.md").read_text(encoding="utf-8")
CORE = ROOT / "layers/core/glovebox"


def column(heading: str) -> set[str]:
    table = TEXT.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_route_is_documented() -> None:
    described = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))
    routes = {
        f"{method.upper()} {path}"
        for path, operations in described["paths"].items()
        for method in operations
    }
    assert column("route") == routes


def test_every_code_is_documented() -> None:
    answers = (CORE / "http_answers.py").read_text(encoding="utf-8")
    answers += (ROOT / "functions/api/app.py").read_text(encoding="utf-8")
    reruns = (CORE / "usecases/rerun.py").read_text(encoding="utf-8")
    said = set(re.findall(r'RerunRefused\("(\w+)"', reruns))
    said |= {
        word
        for word in re.findall(r'"([a-z]+(?:_[a-z]+)*)"', answers)
        if re.search(rf'HTTPStatus\.[A-Z_]+,\s*"{word}"|code = "{word}"|"{word}"( if|\n)', answers)
    }
    assert column("code") - said == set()
    assert said <= column("code"), said - column("code")

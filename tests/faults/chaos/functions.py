"""A copy of the template whose functions meet faults: of AWS, duplicates of messages, crashes.

Each function's `app.py` is put behind one of ours with the same handler, which changes nothing
but what happens on the way to AWS. The product's own code is copied as it is.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
CHANGED = "app.py"
REAL = "glovebox_app.py"


def copy_stack(folder: Path, **settings: Any) -> Path:
    """The template, with what it names beside it; returns the copy. Settings: see `in_function`."""
    shutil.copy(ROOT / "template.yaml", folder)
    shutil.copytree(ROOT / "statemachine", folder / "statemachine")
    for name in ("functions", "layers"):
        # A copy: whoever changes the code meanwhile does not change the run.
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for function in (folder / "functions").iterdir():
        if not (function / CHANGED).is_file():
            continue
        (function / CHANGED).rename(function / REAL)
        (function / CHANGED).write_text((Path(__file__).parent / "in_function.py").read_text())
        shutil.copy(ROOT / "tests/faults/aws_faults.py", function)
        told = json.dumps({"function": function.name, **settings})
        (function / "chaos.json").write_text(told)
    return folder / "template.yaml"


def read_record(path: Path) -> list[dict[str, Any]]:
    """What the functions wrote down; lines that a crash cut short are left out."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def count_record(path: Path) -> Counter[str]:
    """How often each kind of fault was done."""
    return Counter(f"aws {entry['fault']}" for entry in read_record(path))

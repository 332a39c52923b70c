"""The functions' own handlers, in this process."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def load_function(noun: str) -> ModuleType:
    """A function's module, made anew: with nothing wired yet."""
    path = ROOT / "functions" / noun / "app.py"
    spec = importlib.util.spec_from_file_location(f"function_{noun}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its annotations are looked up
    spec.loader.exec_module(module)
    return module


def event(noun: str) -> dict[str, Any]:
    """The sample event of a function."""
    found: dict[str, Any] = json.loads((ROOT / "events" / f"{noun}.json").read_text())
    return found


def context(milliseconds: int = 900_000) -> Any:
    """What Lambda tells a handler of its invocation."""
    return SimpleNamespace(
        function_name="f",
        memory_limit_in_mb=1024,
        invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:f",
        aws_request_id="1",
        get_remaining_time_in_millis=lambda: milliseconds,
    )

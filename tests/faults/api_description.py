"""Writes docs/openapi.json as the function describes itself: `make openapi`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs/openapi.json"


def described() -> str:
    """What GET /openapi.json answers."""
    from tests.faults.handlers import load_function

    return str(load_function("api").openapi_text())


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    FILE.write_text(described(), encoding="utf-8")

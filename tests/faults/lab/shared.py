"""What the laboratory's functions share: shorter times, and a journal of what they did."""

from __future__ import annotations

import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "LAB_FOLDER"
FAULT_VARIABLE = "LAB_FAULT"
"""In a manifest's `env`: the fault of its run, as `point/kind`."""
SHORTER: dict[str, dict[str, float]] = {
    "glovebox.usecases.rounds": {"HEARTBEAT_SECONDS": 6, "QUEUE_SECONDS": 6},
    "glovebox.usecases.launch": {"HEARTBEAT_SECONDS": 1},
    "glovebox.usecases.watch": {"LOOK_SECONDS": 0.25},
    # A busy machine loses batches of its own, with times as short as these.
    "glovebox.usecases.settle": {"MAX_LOSSES": 6},
    "glovebox.usecases.attempt": {"TTL_MARGIN_SECONDS": 5},
}
"""The product's numbers, by module. All are read when they are used."""


def shorten_times() -> None:
    """Make this process impatient. A name that is no more fails here, not silently."""
    for name, values in SHORTER.items():
        module = importlib.import_module(name)
        for constant, seconds in values.items():
            assert isinstance(getattr(module, constant), int | float), f"{name}.{constant}"
            setattr(module, constant, seconds)


def folder() -> Path:
    """Where the laboratory keeps its records."""
    return Path(os.environ[FOLDER_VARIABLE])


def note(event: str, run_id: str, **facts: Any) -> None:
    """Append one line to the journal; lines of several processes do not mix."""
    line = json.dumps({"at": time.time(), "event": event, "run_id": run_id, **facts}) + "\n"
    writer = os.open(folder() / "journal.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(writer, line.encode())
    finally:
        os.close(writer)


def is_first(name: str) -> bool:
    """Whether nobody said this name before, in any process."""
    try:
        os.close(os.open(folder() / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True

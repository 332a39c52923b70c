"""`-o jsonl`: one JSON object per line on stdout, while the run is under way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from glovebox_cli.screen import Screen
from glovebox_cli.views import AttemptView, RunView


class JsonLines:
    """A watcher that writes an object for every finished attempt."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def note(self, text: str) -> None:
        """Notes are for people."""

    def run_changed(self, run: RunView) -> None:
        """States are for people."""

    def attempt_changed(self, attempt: AttemptView) -> None:
        """Write the attempt, once it has ended."""
        if attempt.outcome is not None:
            self.write(
                {
                    "type": "attempt",
                    "suite": attempt.suite,
                    "test_id": attempt.test_id,
                    "key": attempt.key,
                    "number": attempt.number,
                    "outcome": attempt.outcome.value,
                    "duration_seconds": attempt.duration_seconds,
                    "message": attempt.message,
                    "sandbox_id": attempt.sandbox_id,
                }
            )

    def close(self) -> None:
        """The summary is written by whoever knows how it ended."""

    def write(self, document: Mapping[str, Any]) -> None:
        """Write one object. ASCII only, so no name can break a line or drive a terminal."""
        self._screen.emit(json.dumps(document, ensure_ascii=True).encode() + b"\n")

"""Programs that run on while nobody waits for them: their records, and what they printed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from glovebox_local.sandbox.processes import Process, exit_code


@dataclass(slots=True, eq=False)
class BackgroundProcess:
    """One of a sandbox's background processes; code and commands alike."""

    process: Process
    kind: str
    """``cmd`` or ``bg``, as the vendor's ids begin."""
    name: str
    language: str
    command: str
    session: int | None
    """Its session's number inside the sandbox: all that it starts is in it."""
    id: str = ""
    killed: bool = False
    callback: dict[str, Any] | None = None
    started_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.id = self.id or f"{self.kind}_{time.time_ns()}"
        age = time.monotonic() - self.process.started
        self.started_at = datetime.now(UTC) - timedelta(seconds=age)

    @property
    def execution_id(self) -> str:
        """As callbacks name it."""
        return f"exec_{self.id.partition('_')[2]}"

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.running

    @property
    def status(self) -> str:
        """``running``, ``completed`` (exit code 0), ``failed`` or ``killed``."""
        if self.running:
            return "running"
        if self.killed or self.process.timed_out:
            return "killed"
        return "completed" if self.exit_code == 0 else "failed"

    @property
    def exit_code(self) -> int | None:
        """As shells tell it; None while it runs or if nobody knows."""
        status = self.process.wait_status()
        return None if status is None or status < 0 else exit_code(status)

    def release(self) -> None:
        """Let go of its output."""
        self.process.release()

    def describe(self) -> dict[str, Any]:
        """Its record; what is not known (yet) is left out."""
        ended = self.process.ended
        duration = (ended or time.monotonic()) - self.process.started
        answer: dict[str, Any] = {
            "process_id": self.id,
            "execution_id": self.execution_id,
            "name": self.name,
            "status": self.status,
            "language": self.language,
            "command": self.command,
            "start_time": _text(self.started_at),
            "duration": round(duration, 6),
            "timed_out": self.process.timed_out,
        }
        if self.session is not None:
            answer["pid"] = self.session
        if ended is not None:
            answer["end_time"] = _text(self.started_at + timedelta(seconds=duration))
        if self.exit_code is not None:
            answer["exit_code"] = self.exit_code
        if self.callback is not None:
            answer["callback"] = self.callback
        return answer

    def output(self) -> dict[str, Any]:
        """What it has printed so far, its head and its tail."""
        streams = (("stdout", self.process.stdout), ("stderr", self.process.stderr))
        answer: dict[str, Any] = {}
        for name, stream in streams:
            answer[name] = stream.kept.text()
            answer[f"{name}_dropped_bytes"] = stream.kept.dropped
        return answer


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")

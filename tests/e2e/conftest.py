"""One warm stack for the whole folder, and the command line as a user runs it.

After every test, the runs that have ended since are held against the invariants, and all of
them once more before their stack ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults import invariants
from tests.faults.witness import StackWitness
from tests.faults.world import World

BAIT = "hk_live_BAIT"
"""In the environment of every command: it must come out nowhere."""
GLOVEBOX = Path(sys.executable).parent / "glovebox"


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        assert self.out, f"no report, but exit code {self.code}: {self.err[-3000:]}"
        document: dict[str, Any] = json.loads(self.out)
        return document


class Stack:
    """A running `glovebox local up`, and runs on it."""

    def __init__(self, endpoints: Mapping[str, Any], process: subprocess.Popen[str]) -> None:
        self.endpoints = endpoints
        self.process = process
        self._witness = StackWitness(endpoints)
        self._witness.listen()
        self._checked: set[str] = set()

    def check(self) -> None:
        """Hold the runs that have ended since the last check against the invariants."""
        ended = [r for r in self._witness.finished_run_ids() if r not in self._checked]
        self._checked.update(ended)
        if ended:
            invariants.check(self._witness.look(ended, queues=False))

    def check_all(self) -> None:
        """Hold everything against the invariants, once nothing moves any more."""
        baits = (BAIT, self._witness.api_key())
        invariants.check(self._settled(), over=True, baits=baits)

    def _settled(self, seconds: float = 20) -> World:
        give_up_at = time.monotonic() + seconds
        while True:
            world = self._witness.look()
            if not invariants.violations(world, over=True) or time.monotonic() > give_up_at:
                return world
            time.sleep(0.2)

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(GLOVEBOX), *map(str, arguments), "--api", str(self.endpoints["api_url"])]

    def glovebox(self, *arguments: str | Path, seconds: float = 110) -> Ended:
        return ended(self.command(*arguments), seconds)

    def run(self, folder: Path, *arguments: str, seconds: float = 110) -> Ended:
        return self.glovebox("run", folder, *arguments, "-o", "json", seconds=seconds)


def ended(command: list[str], seconds: float = 110) -> Ended:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, check=False, env=environment()
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "BAIT_SECRET": BAIT}


def start_stack() -> Stack:
    process = subprocess.Popen(
        [str(GLOVEBOX), "local", "up", "-o", "json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"local up ended with {process.wait(10)}"
    return Stack(json.loads(line), process)


def stop_stack(stack: Stack) -> int:
    stack.process.send_signal(signal.SIGINT)
    return stack.process.wait(30)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    started = start_stack()
    yield started
    try:
        started.check_all()
    finally:
        code = stop_stack(started)
    assert code == 0


@pytest.fixture(autouse=True)
def invariants_hold(request: pytest.FixtureRequest) -> Iterator[None]:
    used = "stack" in request.fixturenames
    stack: Stack | None = request.getfixturevalue("stack") if used else None
    yield
    if stack is not None:
        stack.check()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


class Project:
    """A folder with a manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o755)

    def write(self, files: Mapping[str, str], **manifest: Any) -> Path:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        suite = {"name": "unit", "framework": "pytest", **manifest.pop("suite", {})}
        whole = {"version": 1, "name": "e2e", "source": {"path": "."}, "suites": [suite]}
        (self.folder / "glovebox.json").write_text(json.dumps({**whole, **manifest}))
        return self.folder

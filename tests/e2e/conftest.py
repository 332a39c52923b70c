"""One warm stack for the whole folder, and the command line as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

GLOVEBOX = Path(sys.executable).parent / "glovebox"


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


class Stack:
    """A running `glovebox local up`, and runs on it."""

    def __init__(self, endpoints: Mapping[str, Any], process: subprocess.Popen[str]) -> None:
        self.endpoints = endpoints
        self.process = process

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
    return {**kept, "BAIT_SECRET": "hk_live_BAIT"}


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
    assert stop_stack(started) == 0


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

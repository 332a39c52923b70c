"""The command line, run in this process, against a fake API."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from glovebox_cli import follow
from glovebox_cli.main import main

from tests.unit.cli.fake_api import FakeApi, serving

MANIFEST = """\
version: 1
name: demo
source: {path: .}
suites:
  - name: unit
    framework: pytest
    paths: [tests]
    retries: 2
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


Cli = Callable[..., Ended]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with serving() as fake:
        yield fake


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a manifest and one test file; the current one."""
    folder = tmp_path / "project"
    (folder / "tests").mkdir(parents=True)
    (folder / "glovebox.yml").write_text(MANIFEST)
    (folder / "tests/test_a.py").write_text("def test_a(): pass\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cli(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Run `glovebox` with arguments, through its entry point."""
    for name in ("GLOVEBOX_API_URL", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(follow, "FASTEST_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(follow, "SLOWEST_LOOK_SECONDS", 0.02)

    def run(*args: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["glovebox", *args])
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ending:
            main()
        captured = capfdbinary.readouterr()
        code = ending.value.code
        return Ended(int(code or 0), captured.out, captured.err.decode())

    return run

"""One process in a sandbox: asked after when an answer is lost, never read where it is damaged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from glovebox.domain.errors import SandboxLost
from glovebox.frameworks.contract import FOLDER, Command
from glovebox.ports import CommandAnswer
from glovebox.usecases.process import Process, run_process

from tests.fakes import FolderSandbox, RealClock

COUNTS = Command(
    ("bash", "-c", 'echo x >>"$1"; cat "$1"; exit 3', "bash", f"{FOLDER}/count"),
    results={"count": f"{FOLDER}/count"},
)
LONG = Command(
    ("bash", "-c", 'head -c 800000 /dev/zero | tr "\\0" y >"$1"', "bash", f"{FOLDER}/long"),
    results={"long": f"{FOLDER}/long"},
)


class LosesAnswers(FolderSandbox):
    """Does what it is told, and the answer is lost on its way."""

    def __init__(self, folder: Path, times: int, *, still_there: bool = True) -> None:
        super().__init__("sb", folder, "base")
        self.times, self.still_there = times, still_there

    def run(self, command: str, *, env: Mapping[str, str], timeout_seconds: float) -> CommandAnswer:
        answer = super().run(command, env=env, timeout_seconds=timeout_seconds)
        self.times -= 1
        if self.times >= 0:
            raise SandboxLost("no answer", sandbox_id="sb", still_there=self.still_there)
        return answer


class ForeignFile(FolderSandbox):
    """Another content in the answer's place."""

    def download(self, path: str, *, limit: int) -> bytes:
        return super().download(path, limit=limit).replace(b"y", b"n", 1)


def process(command: Command, seconds: float = 30) -> Process:
    return Process("attempt", command, "a" * 32, seconds, {"HOME": "/workspace/home"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sb"
    made.mkdir()
    return made


@pytest.mark.parametrize("lost", [0, 1, 5])
def test_a_long_process_whose_answer_is_lost_is_asked_after_and_runs_once(
    folder: Path, lost: int
) -> None:
    evidence = run_process(LosesAnswers(folder, lost), process(COUNTS, 600), RealClock())
    assert (evidence.exit_code, evidence.files["count"]) == (3, b"x\n")


def test_a_sandbox_that_is_gone_is_not_asked_again(folder: Path) -> None:
    sandbox = LosesAnswers(folder, 1, still_there=False)
    with pytest.raises(SandboxLost):
        run_process(sandbox, process(COUNTS), RealClock())
    assert sandbox.commands == 1


def test_a_long_answer_is_fetched_as_it_was_packed(folder: Path) -> None:
    evidence = run_process(FolderSandbox("sb", folder, "base"), process(LONG), RealClock())
    assert evidence.files["long"] == b"y" * 800_000


def test_a_long_answer_of_another_content_proves_nothing(folder: Path) -> None:
    with pytest.raises(SandboxLost, match="not the one"):
        run_process(ForeignFile("sb", folder, "base"), process(LONG), RealClock())

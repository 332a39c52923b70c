"""A test that takes longer than the launcher's function may: the product's own template, with a
launcher of a few seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from glovebox_local.stack import LocalStack

from tests.e2e.conftest import GLOVEBOX, Project, ended

ROOT = Path(__file__).parents[2]
LAUNCHER_SECONDS = 6
CODE = """
import pathlib, time, pytest
@pytest.mark.parametrize("seconds", [0, 0, 14, 0, 0], ids=list("abcde"))
def test_it(seconds):
    with pathlib.Path("began").open("a") as file:
        file.write("x")
    time.sleep(seconds)
    assert pathlib.Path("began").read_text() == "x", "ran twice"
"""


@pytest.fixture
def short_stack(tmp_path: Path) -> Iterator[LocalStack]:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("functions", "layers", "statemachine"):
        (tree / name).symlink_to(ROOT / name)
    text = (ROOT / "template.yaml").read_text()
    before, launcher, after = text.partition("      CodeUri: functions/launcher/\n")
    shorter = after.replace("Timeout: 900", f"Timeout: {LAUNCHER_SECONDS}", 1)
    assert shorter != after
    (tree / "template.yaml").write_text(before + launcher + shorter)
    with LocalStack(tree / "template.yaml", state_dir=tmp_path / "state") as running:
        yield running


@pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bubblewrap")
def test_a_test_may_take_longer_than_its_launcher(
    short_stack: LocalStack, project: Project, tmp_path: Path
) -> None:
    folder = project.write({"test_a.py": CODE}, suite={"timeout": "60s"})
    command = [str(GLOVEBOX), "run", str(folder), "-o", "json"]
    done = ended([*command, "--api", short_stack.endpoints.api_url])
    assert done.code == 0, done.out + done.err
    attempts = [attempt for test in done.report["tests"] for attempt in test["attempts"]]
    assert len(attempts) == len({attempt["sandbox_id"] for attempt in attempts}) == 5
    log = (tmp_path / "state/logs/LauncherFunction.log").read_text()
    turns = [line for line in log.splitlines() if '"batch handed on"' in line]
    assert len(turns) >= 2, log[-3000:]
    assert all(json.loads(line)["turn"] for line in turns)

"""The witness itself, with Node.js as it is on this machine: what it says of node:test."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from glovebox.domain.evidence import Evidence, judge
from glovebox.domain.manifest import FrameworkName, Suite
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import PlannedAttempt
from glovebox.frameworks.contract import FOLDER
from glovebox.frameworks.contract import NONCE as NONCE_PLACE
from glovebox.frameworks.registry import framework_of

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")
NONCE = "n-1"
SUITE = Suite(name="unit", framework=FrameworkName.NODE_TEST)
HEAD = "const { after, before, describe, it, test } = require('node:test');\n"


def run(project: Path, *ids: str) -> tuple[dict[str, tuple[Outcome, str]], int, list[Any]]:
    """What is concluded of these ids, the exit code, and the record."""
    attempts = [PlannedAttempt(test_id=text, key=text, number=1) for text in ids]
    command = framework_of(SUITE).run_command(SUITE, attempts, {})
    folder = project.parent / "witness"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in command.files.items():
        (folder / name).write_bytes(content)
    argv = [a.replace(FOLDER, str(folder)).replace(NONCE_PLACE, NONCE) for a in command.argv]
    ended = subprocess.run(argv, cwd=project, check=False, capture_output=True)
    record = (folder / "record.jsonl").read_bytes()
    evidence = Evidence(
        nonce=NONCE, exit_code=ended.returncode, files={"record.jsonl": record}, log=ended.stdout
    )
    told = framework_of(SUITE).read_record(SUITE, attempts, evidence)
    verdicts = judge(ids, NONCE, evidence, told)
    concluded = {text: (v.outcome, v.message or "") for text, v in verdicts.items()}
    return concluded, ended.returncode, [json.loads(line) for line in record.splitlines()]


def project(tmp_path: Path, code: str) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "a.test.js").write_text(HEAD + code)
    return folder


def test_a_hook_of_another_suite_fails_nobody_else(tmp_path: Path) -> None:
    code = "test('t', () => {});\ndescribe('s', () => { before(() => { throw 1; }); it('u'); });\n"
    concluded, ended, record = run(project(tmp_path, code), "a.test.js > t")
    assert concluded["a.test.js > t"][0] is Outcome.PASSED
    assert ended == 0
    assert record[-1]["exit_code"] == 0


def test_a_hook_after_all_fails_the_last_test_of_its_suite(tmp_path: Path) -> None:
    code = "describe('s', () => { after(() => { throw new Error('x9'); }); it('u', () => {}); });\n"
    concluded, ended, _ = run(project(tmp_path, code), "a.test.js > s > u")
    outcome, message = concluded["a.test.js > s > u"]
    assert outcome is Outcome.FAILED
    assert "x9" in message
    assert ended == 1


def test_a_part_that_fails_fails_its_test_and_says_why(tmp_path: Path) -> None:
    code = "test('t', async (t) => { await t.test('p', () => { throw new Error('x9'); }); });\n"
    concluded, _, _ = run(project(tmp_path, code), "a.test.js > t")
    assert concluded["a.test.js > t"][0] is Outcome.FAILED
    assert "x9" in concluded["a.test.js > t"][1]


@pytest.mark.parametrize(
    "code",
    [
        "test('t', () => { process.exit(0); });",
        "test('t', () => {}); process.exit(0);",
        "process.exit(0);",
        "test('t', () => { process.kill(process.pid, 'SIGKILL'); });",
        "test('t', () => {}); syntax error",
        "test('another', () => {});",
    ],
)
def test_what_never_ended_has_not_passed(tmp_path: Path, code: str) -> None:
    concluded, _, _ = run(project(tmp_path, code), "a.test.js > t")
    assert concluded["a.test.js > t"][0] is Outcome.ERRORED


def test_of_two_with_one_name_each_has_its_own_ending(tmp_path: Path) -> None:
    code = "test('t', () => {});\ntest('t', () => { throw new Error('x9'); });\n"
    folder = project(tmp_path, code)
    first, code_of_first, _ = run(folder, "a.test.js > t")
    second, code_of_second, _ = run(folder, r"a.test.js > t \#2")
    third, _, _ = run(folder, r"a.test.js > t \#3")
    assert (first["a.test.js > t"][0], code_of_first) == (Outcome.PASSED, 0)
    assert (second[r"a.test.js > t \#2"][0], code_of_second) == (Outcome.FAILED, 1)
    assert third[r"a.test.js > t \#3"][0] is Outcome.ERRORED


def test_a_whole_file_passes_only_as_a_whole(tmp_path: Path) -> None:
    folder = project(tmp_path, "test('t', () => {});\ntest('u', () => {});\n")
    assert run(folder, "a.test.js")[0]["a.test.js"][0] is Outcome.PASSED
    (folder / "b.test.js").write_text(HEAD + "test('t', () => {});\ntest('u', () => { f(); });\n")
    outcome, message = run(folder, "b.test.js")[0]["b.test.js"]
    assert outcome is Outcome.FAILED
    assert "1 of 2 tests failed" in message

"""unittest's witness runs on real unittest here; what it wrote is read and judged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from glovebox.domain.evidence import Evidence, Verdict, judge
from glovebox.domain.manifest import FrameworkName, Suite
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import PlannedAttempt
from glovebox.frameworks.contract import FOLDER, NONCE, Command, Discovery
from glovebox.frameworks.unittest import UnittestFramework
from glovebox.frameworks.witness_record import RECORD

NONCE_VALUE = "0" * 32
UNITTEST = UnittestFramework()
SUITE = Suite(name="unit", framework=FrameworkName.UNITTEST)
KINDS = """\
import unittest

class Kinds(unittest.TestCase):
    def test_passes(self): pass
    def test_fails(self): self.fail("on purpose")
    def test_raises(self): raise ValueError("é")
    @unittest.skip("not today")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass
    def test_parts(self):
        for i in range(3):
            with self.subTest(i=i): self.assertNotEqual(i, 1)
setattr(Kinds, "test_odd $(id) ; 'é' \\"x\\"", lambda self: None)
"""
FIXTURES = """\
import unittest
class SetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError("no database")
    def test_a(self): pass
    def test_b(self): pass
class TearDown(unittest.TestCase):
    @classmethod
    def tearDownClass(cls): raise OSError("still open")
    def test_a(self): pass
    def test_b(self): pass
class Skips(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("not here")
    def test_a(self): pass
"""


def launch(folder: Path, command: Command) -> Evidence:
    """Run the command as a sandbox would."""
    own = folder / "own"
    own.mkdir(exist_ok=True)
    for name, content in command.files.items():
        (own / name).write_bytes(content)
    (own / RECORD).unlink(missing_ok=True)
    argv = [part.replace(FOLDER, str(own)).replace(NONCE, NONCE_VALUE) for part in command.argv]
    ended = subprocess.run(
        [sys.executable, *argv[1:]], cwd=folder / "src", capture_output=True, check=False
    )
    files = {RECORD: (own / RECORD).read_bytes()} if (own / RECORD).exists() else {}
    return Evidence(NONCE_VALUE, ended.returncode, log=ended.stdout + ended.stderr, files=files)


def discover(folder: Path, files: dict[str, str], suite: Suite = SUITE) -> Discovery:
    for name, text in files.items():
        path = folder / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = UNITTEST.discover_command(suite)
    assert command is not None
    return UNITTEST.read_discovery(suite, launch(folder, command), NONCE_VALUE)


def attempt(folder: Path, found: Discovery, *ids: str) -> dict[str, Verdict]:
    known = {test.test_id: test.selector for test in found.tests}
    planned = [PlannedAttempt(test_id=i, key=i, number=1, selector=known.get(i)) for i in ids]
    evidence = launch(folder, UNITTEST.run_command(SUITE, planned, found.context))
    return judge(ids, NONCE_VALUE, evidence, UNITTEST.read_record(SUITE, planned, evidence))


def test_each_kind_of_ending_in_a_process_of_its_own(tmp_path: Path) -> None:
    found = discover(tmp_path, {"test_a.py": KINDS})
    got = {}
    for test in found.tests:
        verdict = attempt(tmp_path, found, test.test_id)[test.test_id]
        got[test.test_id.removeprefix("test_a.Kinds.test_")] = verdict.outcome
    assert got == {
        "passes": Outcome.PASSED,
        "fails": Outcome.FAILED,
        "raises": Outcome.FAILED,
        "skipped": Outcome.SKIPPED,
        "expected": Outcome.SKIPPED,
        "unexpected": Outcome.FAILED,
        "parts": Outcome.FAILED,
        "odd $(id) ; 'é' \"x\"": Outcome.PASSED,
    }


def test_a_fixture_of_a_class_ends_the_tests_that_it_belongs_to(tmp_path: Path) -> None:
    found = discover(tmp_path, {"test_a.py": FIXTURES})
    ids = [test.test_id for test in found.tests]
    verdicts = attempt(tmp_path, found, *ids)
    got = {test_id.removeprefix("test_a."): verdicts[test_id].outcome for test_id in ids}
    assert got == {
        "SetUp.test_a": Outcome.FAILED,
        "SetUp.test_b": Outcome.FAILED,
        "TearDown.test_a": Outcome.PASSED,
        "TearDown.test_b": Outcome.FAILED,
        "Skips.test_a": Outcome.SKIPPED,
    }
    assert "no database" in str(verdicts["test_a.SetUp.test_a"].message)


@pytest.mark.parametrize("ending", ["import os; os._exit(0)", "import os; os.kill(os.getpid(), 9)"])
def test_a_process_that_ends_early_has_not_passed(tmp_path: Path, ending: str) -> None:
    code = f"import unittest\nclass T(unittest.TestCase):\n    def test_x(self): {ending}\n"
    found = discover(tmp_path, {"test_a.py": code})
    assert attempt(tmp_path, found, "test_a.T.test_x")["test_a.T.test_x"].outcome is Outcome.ERRORED


def test_an_id_that_no_test_has_is_not_found(tmp_path: Path) -> None:
    found = discover(tmp_path, {"test_a.py": KINDS})
    verdict = attempt(tmp_path, found, "test_a.Kinds.test_gone")["test_a.Kinds.test_gone"]
    assert verdict.outcome is Outcome.ERRORED
    assert "not found" in str(verdict.message)
    verdict = attempt(tmp_path, found, "no_module.T.test_x")["no_module.T.test_x"]
    assert verdict.outcome is Outcome.ERRORED
    assert "no_module" in str(verdict.message)


def test_a_module_that_does_not_load_is_broken_and_the_others_are_listed(tmp_path: Path) -> None:
    files = {"test_a.py": KINDS, "test_b.py": "import nothing_like_it\n", "test_c.py": "x ="}
    found = discover(tmp_path, files)
    assert set(found.broken) == {"test_b", "test_c"}
    assert "nothing_like_it" in found.broken["test_b"]
    assert len(found.tests) == 8


def test_paths_are_folders_or_files_with_or_without_a_package(tmp_path: Path) -> None:
    case = "import unittest\nclass T(unittest.TestCase):\n    def test_x(self): pass\n"
    files = {"a/test_a.py": case, "b/__init__.py": "", "b/test_b.py": case, "test_c.py": "1/0"}
    suite = SUITE.model_copy(update={"paths": ("a", "b/test_b.py")})
    found = discover(tmp_path, files, suite)
    ids = ["test_a.T.test_x", "b.test_b.T.test_x"]
    assert [test.test_id for test in found.tests] == ids
    assert [test.file for test in found.tests] == ["a/test_a.py", "b/test_b.py"]
    assert {v.outcome for v in attempt(tmp_path, found, *ids).values()} == {Outcome.PASSED}


def test_a_path_that_is_not_there_is_an_entry_of_its_own(tmp_path: Path) -> None:
    suite = SUITE.model_copy(update={"paths": ("gone",)})
    assert set(discover(tmp_path, {"test_a.py": KINDS}, suite).broken) == {"gone"}

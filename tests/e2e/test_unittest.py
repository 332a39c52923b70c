"""unittest from the command line: each result is unittest's own, each test in its own sandbox."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.e2e.conftest import Project, Stack

SUMS = """\
import unittest

class Sums(unittest.TestCase):
    def test_passes(self): pass
    def test_fails(self): self.assertEqual(1 + 1, 3)
    def test_errs(self): raise RuntimeError("on purpose")
    @unittest.skip("not now")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail("as expected")
    @unittest.expectedFailure
    def test_unexpected(self): pass
    def test_parts(self):
        for number in range(3):
            with self.subTest(number=number): self.assertLess(number, 2)
    def test_größe(self): pass

class Fixture(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("no class today")
    def test_never(self): pass

class After(unittest.TestCase):
    @classmethod
    def tearDownClass(cls): raise RuntimeError("too late")
    def test_then_fails(self): pass
"""
FILES = {"tests/__init__.py": "", "tests/test_sums.py": SUMS, "tests/test_gone.py": "import gone\n"}


def own_words(folder: Path) -> Counter[str]:
    """How many tests unittest itself says have failed, were skipped, and were there."""
    command = [sys.executable, "-m", "unittest", "discover"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = {word: int(count) for word, count in re.findall(r"(\w[\w ]+)=(\d+)", done.stderr)}
    ran = re.search(r"Ran (\d+) test", done.stderr)
    assert ran is not None, done.stderr
    return Counter({**said, "ran": int(ran[1])})


def test_each_result_is_unittests_own(stack: Stack, project: Project) -> None:
    folder = project.write(FILES, suite={"framework": "unittest"})
    ended = stack.run(folder)
    assert ended.code == 1, ended.err
    tests = {
        test["test_id"].removeprefix("tests.test_sums."): test for test in ended.report["tests"]
    }
    assert {name: test["result"] for name, test in tests.items()} == {
        "Sums.test_passes": "passed",
        "Sums.test_fails": "failed",
        "Sums.test_errs": "failed",
        "Sums.test_skipped": "skipped",
        "Sums.test_expected": "skipped",
        "Sums.test_unexpected": "failed",
        "Sums.test_parts": "failed",
        "Sums.test_größe": "passed",
        "Fixture.test_never": "failed",
        "After.test_then_fails": "failed",
        "tests.test_gone": "errored",
    }
    # It counts a class's fixtures, and what does not load, as errors of their own.
    own = own_words(folder)
    assert (own["failures"], own["unexpected successes"]) == (2, 1)
    assert (own["errors"], own["skipped"], own["expected failures"]) == (4, 1, 1)
    assert "no class today" in tests["Fixture.test_never"]["message"]
    assert "too late" in tests["After.test_then_fails"]["message"]
    assert "No module named 'gone'" in tests["tests.test_gone"]["message"]
    sandboxes = [a["sandbox_id"] for test in tests.values() for a in test["attempts"]]
    assert len(set(sandboxes)) == len(sandboxes) == 10
    assert (tests["Sums.test_fails"]["file"], tests["Sums.test_fails"]["line"]) == (
        "tests/test_sums.py",
        5,
    )


def test_what_did_not_run_has_not_passed(stack: Stack, project: Project) -> None:
    leaves = "import os, unittest\nclass T(unittest.TestCase):\n    def test_x(self): os._exit(0)\n"
    wanted = ["test_a.T.test_x", "test_a.T.test_gone", "nowhere.T.test_x"]
    folder = project.write({"test_a.py": leaves}, suite={"framework": "unittest", "tests": wanted})
    ended = stack.run(folder)
    assert ended.code == 3, ended.err
    assert [test["result"] for test in ended.report["tests"]] == ["errored"] * 3


def test_a_source_without_tests_is_told(stack: Stack, project: Project) -> None:
    folder = project.write({"a.py": "x = 1\n"}, suite={"framework": "unittest"})
    assert stack.run(folder).code == 4

"""Real suites, as published: every id ends as it does in plain pytest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.sdists import unpacked_sdist
from tests.e2e.conftest import Stack

SITE = Path(__file__).parents[2] / ".venv/share/glovebox/sandbox-site"
QUICK = [
    "tests/test_dictutils.py",
    "tests/test_funcutils.py",
    "tests/test_iterutils.py",
    "tests/test_strutils.py",
]
WITNESS = """
import json
class Witness:
    def __init__(self): self.told = {}
    def pytest_runtest_logreport(self, report):
        if getattr(report, "context", None) is not None and not report.failed: return
        known = self.told.setdefault(report.nodeid, "passed")
        if report.failed: self.told[report.nodeid] = "failed"
        elif report.skipped and known == "passed": self.told[report.nodeid] = "skipped"
import pytest, sys
witness = Witness()
pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]], plugins=[witness])
json.dump(witness.told, open(sys.argv[1], "w"))
"""


def plain_pytest(source: Path, out: Path, paths: Sequence[str]) -> dict[str, str]:
    """Every id and its result, in one process."""
    script = out.with_suffix(".py")
    script.write_text(WITNESS)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{source}:{SITE}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "HOME": str(out.parent),
        "CI": "true",
    }
    command = [sys.executable, str(script), str(out), *paths]
    subprocess.run(command, cwd=source, env=environment, capture_output=True, check=True)
    results: dict[str, str] = json.loads(out.read_text())
    return results


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("requirement", "isolation", "paths", "count"),
    [
        ("boltons==26.2.0", "test", QUICK, 115),
        pytest.param("boltons==26.2.0", "test", ["tests"], 519, marks=pytest.mark.thorough),
        ("more-itertools==11.2.1", "file", ["tests"], 765),
    ],
)
def test_every_id_ends_as_in_plain_pytest(
    stack: Stack,
    tmp_path: Path,
    requirement: str,
    isolation: str,
    paths: list[str],
    count: int,
) -> None:
    source, plain = tmp_path / "source", tmp_path / "plain"
    for folder in (source, plain):
        shutil.copytree(unpacked_sdist(requirement), folder)
    manifest = {
        "version": 1,
        "name": requirement.partition("==")[0],
        "source": {"path": "."},
        "parallelism": 50,
        "suites": [{"name": "unit", "framework": "pytest", "paths": paths, "isolation": isolation}],
    }
    (source / "glovebox.json").write_text(json.dumps(manifest))
    with ThreadPoolExecutor(1) as beside:
        native = beside.submit(plain_pytest, plain, tmp_path / "plain.json", paths)
        ended = stack.run(source, seconds=380)
        expected = native.result()
    report = ended.report
    got = {test["test_id"]: test["result"] for test in report["tests"]}
    assert len(got) == count
    assert got == expected
    summary = report["summary"]
    results = ("passed", "failed", "errored", "timed_out", "skipped", "cancelled")
    assert summary["total"] == count == sum(summary[word] for word in results)
    assert Counter(got.values()) == {word: summary[word] for word in results if summary[word]}
    sandboxes = {attempt["sandbox_id"] for test in report["tests"] for attempt in test["attempts"]}
    assert len(sandboxes) == (count if isolation == "test" else 2)

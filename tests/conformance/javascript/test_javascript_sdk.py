"""Runs the JavaScript suite once, and is one test for each of its tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.conformance import descriptions
from tests.conformance.deviations import complaint, table
from tests.integration.sandbox.client import API_KEY

HERE = Path(__file__).parent
_PATIENCE_SECONDS = 90
_OLDEST_NODE = (18, 15)  # the first whose test runner takes a reporter of ours
_JSON = re.compile(r"\{.*\}$")
_TITLE = re.compile(r'^check\(\s*"([^"]+)"', re.MULTILINE)
TITLES = [
    title for file in sorted(HERE.glob("*.check.mjs")) for title in _TITLE.findall(file.read_text())
]


@dataclass(frozen=True)
class Run:
    """What the suite said: each test's result, what was asked of the server, and all of it."""

    results: dict[str, list[dict[str, str | bool | None]]]
    exchanges: set[tuple[str, str, int]]
    said: str


@pytest.fixture(scope="module")
def suite(server: SandboxServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Run:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not here and could not be installed: see local/install-node.sh")
    version = subprocess.check_output([node, "--version"], text=True).strip().lstrip("v")
    if tuple(map(int, version.split(".")[:2])) < _OLDEST_NODE:
        pytest.skip(
            f"the SDK's tests need Node.js {_OLDEST_NODE[0]}.{_OLDEST_NODE[1]}, not {version}"
        )
    if not (HERE / "node_modules").is_dir():
        pytest.skip(f"the SDK is not installed: make test does it, or npm ci in {HERE}")
    exchanges = tmp_path_factory.mktemp("javascript") / "exchanges"
    exchanges.touch()
    said = _output(
        [node, "--test", f"--test-reporter={HERE / 'reporter.mjs'}", str(HERE / "suite.mjs")],
        {
            "PATH": os.environ["PATH"],
            "HOPX_BASE_URL": server.url,
            "HOPX_API_KEY": API_KEY,
            "GLOVEBOX_EXCHANGES": str(exchanges),
        },
    )
    results: dict[str, list[dict[str, str | bool | None]]] = {}
    for result in map(json.loads, filter(_JSON.match, said.splitlines())):
        results.setdefault(result["name"], []).append(result)
    asked = {
        (exchange["method"], exchange["path"], exchange["status"])
        for exchange in map(json.loads, exchanges.read_text().splitlines())
    }
    return Run(results, asked, said)


def _output(command: list[str], env: dict[str, str]) -> str:
    """What a program said on both streams, up to its end or the end of our patience."""
    with subprocess.Popen(
        command, cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            return process.communicate(timeout=_PATIENCE_SECONDS)[0]
        except subprocess.TimeoutExpired:
            # Node ends its own processes when it is asked to.
            process.terminate()
            return process.communicate()[0]


def test_the_suites_tests_are_known_by_their_titles() -> None:
    assert len(TITLES) == len(set(TITLES))
    assert len(TITLES) > 30


@pytest.mark.parametrize("title", TITLES)
def test_javascript(title: str, suite: Run) -> None:
    results = suite.results.get(title, [])
    assert len(results) == 1, f"the suite did not say what became of it:\n{suite.said[-4000:]}"
    [result] = results
    if result["skipped"] is not None:
        pytest.skip(str(result["skipped"]))
    assert result["passed"], result["error"]


def test_nothing_else_of_the_suite_failed(suite: Run) -> None:
    failed = {name for name, results in suite.results.items() for r in results if not r["passed"]}
    # Node reports the file as a test of its own, which fails with any of its tests.
    assert failed <= {*TITLES, str(HERE / "suite.mjs"), "suite.mjs"}


def test_every_answer_to_the_sdk_is_described(suite: Run) -> None:
    control, agent = descriptions.load("control"), descriptions.load("agent")
    if control is None or agent is None:
        pytest.skip(descriptions.MISSING)
    rows = table()
    assert suite.exchanges
    wrong = [
        complaint(control if path.startswith("/v1/") else agent, rows, method, path, status)
        for method, path, status in suite.exchanges
    ]
    assert [said for said in wrong if said] == []

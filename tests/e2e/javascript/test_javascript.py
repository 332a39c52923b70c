"""The JavaScript frameworks through the command line: each test in a sandbox of its own, and each
result what the framework says by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from glovebox.frameworks.title_path import parse_id

from tests.e2e.conftest import Project, Stack

PROJECTS = Path(__file__).parent
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js")
Endings = Counter[tuple[str, str]]
"""Joined titles and their result, counted: what every framework's own report can tell."""


def manifest(framework: str, **more: Any) -> dict[str, Any]:
    suite = {"name": "unit", "framework": framework, **more.pop("suite", {})}
    whole = {"version": 1, "name": "sums", "source": {"path": "."}, "parallelism": 4}
    return {**whole, "suites": [suite], **more}


def copied(name: str, to: Path, about: dict[str, Any]) -> Path:
    shutil.copytree(PROJECTS / name, to)
    (to / "glovebox.json").write_text(json.dumps(about))
    return to


def endings(report: dict[str, Any]) -> Endings:
    return Counter(
        (" ".join(parse_id(test["test_id"])[1]), test["result"]) for test in report["tests"]
    )


def natively(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        command, cwd=folder, env={**kept, "CI": "true"}, capture_output=True, text=True, check=False
    )


def own_endings_of_node_test(folder: Path) -> Endings:
    said = natively(folder, "node", "--test", "--test-reporter=tap").stdout
    counted: Endings = Counter()
    titles: list[str] = []
    for line in said.splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        head, _, name = line.strip().partition(" - ")
        if line.strip().startswith("# Subtest: "):
            titles[depth:] = [line.strip().removeprefix("# Subtest: ")]
        elif head.split(" ")[0] in ("ok", "not") and name:
            left_out = " # SKIP" in name or " # TODO" in name
            result = "skipped" if left_out else "failed" if head.startswith("not") else "passed"
            counted[" ".join(titles[: depth + 1]), result] += 1
    return counted


def test_node_test_from_the_command_line(stack: Stack, tmp_path: Path) -> None:
    folder = copied("node-test", tmp_path / "project", manifest("node:test"))
    major = int(subprocess.check_output(["node", "--version"], text=True)[1:].partition(".")[0])
    ended = stack.run(folder)
    assert ended.code == 1, ended.err
    tests = {test["test_id"]: test for test in ended.report["tests"]}
    if major > 20:
        assert {name: test["result"] for name, test in tests.items()} == {"sums.test.mjs": "failed"}
        return
    native = own_endings_of_node_test(folder)
    got = endings(ended.report)
    # TAP escapes what it must, and names suites and parts as well: the plain titles compare.
    plain = {key: n for key, n in got.items() if not set(key[0]) & set("\\\n#")}
    assert {key: native[key] for key in plain} == plain
    assert Counter(result for _, result in got.elements()) == {
        "passed": 14,
        "failed": 6,
        "skipped": 2,
    }
    assert len({test["attempts"][0]["sandbox_id"] for test in tests.values()}) == len(tests)
    assert "deep down" in tests["sums.test.mjs > suite > deep > fails"]["message"]
    assert tests["sums.test.mjs > fails"]["line"] == 5


def test_what_node_test_calls_success_without_a_test_is_errored(
    stack: Stack, project: Project
) -> None:
    leaves = "const test = require('node:test');\ntest('a', () => {});\n"
    folder = project.write(
        {
            "gone.test.js": leaves,
            "leaves.test.js": leaves + "test('leaves', () => process.exit(0));\n",
            "leaves-at-once.test.js": leaves + "process.exit(0);\n",
            "broken.test.js": "syntax error;\n",
            "skipped.test.js": leaves.replace("test('a'", "test.skip('a'"),
        },
        suite={
            "framework": "node:test",
            "tests": [
                "gone.test.js > not there",
                "nowhere.test.js > a",
                "leaves.test.js > leaves",
                "leaves.test.js",
                "leaves-at-once.test.js > a",
                "broken.test.js",
                "skipped.test.js",
            ],
        },
    )
    ended = stack.run(folder)
    assert ended.code == 3, ended.err
    results = {test["test_id"]: test["result"] for test in ended.report["tests"]}
    assert results.pop("skipped.test.js") == "skipped"
    assert set(results.values()) == {"errored"}
    messages = {test["test_id"]: test["message"] or "" for test in ended.report["tests"]}
    assert "SyntaxError" in messages["broken.test.js"]
    assert "no such file" in messages["nowhere.test.js > a"]


def _statuses(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    words = {"pending": "skipped", "todo": "skipped"}
    for file in document["testResults"]:
        for test in file["assertionResults"]:
            titles = " ".join([*test["ancestorTitles"], test["title"]])
            yield titles, words.get(test["status"], test["status"])


def own_endings_of_jest(folder: Path) -> Endings:
    said = natively(folder, "node_modules/.bin/jest", "--ci", "--json").stdout
    return Counter(_statuses(json.loads(said)))


def own_endings_of_vitest(folder: Path) -> Endings:
    said = natively(folder, "node_modules/.bin/vitest", "run", "--reporter=json").stdout
    return Counter(_statuses(json.loads(said[said.index("{") :])))


def own_endings_of_mocha(folder: Path) -> Endings:
    said = natively(folder, "node_modules/.bin/mocha", "--reporter=json").stdout
    document = json.loads(said)
    counted: Endings = Counter()
    for word, result in (("passes", "passed"), ("failures", "failed"), ("pending", "skipped")):
        for test in document[word]:
            title = test["fullTitle"].replace('"before each" hook for "never runs"', "never runs")
            counted[title, result] += 1
    return counted


def own_endings_of_playwright(folder: Path) -> Endings:
    said = natively(folder, "node_modules/.bin/playwright", "test", "--reporter=json").stdout
    words = {"expected": "passed", "unexpected": "failed", "skipped": "skipped"}
    counted: Endings = Counter()

    def walk(suite: dict[str, Any], titles: list[str]) -> None:
        for spec in suite.get("specs", ()):
            for test in spec["tests"]:
                name = [f"[{test['projectName']}]", *titles, spec["title"]]
                counted[" ".join(name), words[test["status"]]] += 1
        for inner in suite.get("suites", ()):
            walk(inner, [*titles, inner["title"]])

    for suite in json.loads(said)["suites"]:
        walk(suite, [])
    return counted


OWN = {
    "jest": own_endings_of_jest,
    "vitest": own_endings_of_vitest,
    "mocha": own_endings_of_mocha,
    "playwright": own_endings_of_playwright,
}


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", list(OWN))
def test_each_result_is_the_frameworks_own(stack: Stack, tmp_path: Path, framework: str) -> None:
    about = manifest(framework, image={"setup": ["npm install"]})
    folder = copied(framework, tmp_path / "project", about)
    plain = copied(framework, tmp_path / "plain", {})
    ended = stack.run(folder, seconds=280)
    assert ended.code == 1, ended.err
    natively(plain, "npm", "install").check_returncode()
    native = OWN[framework](plain)
    got = endings(ended.report)
    if framework == "vitest":
        # Its own report calls what a failed hook left out skipped, and ends with 1. A sandbox
        # that ran nothing else has no failure to show for that: it could not find out.
        native["hook never runs", "skipped"] -= 1
        native["hook never runs", "errored"] += 1
    assert got == +native
    assert sum(got.values()) == len({t["test_id"] for t in ended.report["tests"]})
    sandboxes = {t["attempts"][0]["sandbox_id"] for t in ended.report["tests"]}
    assert len(sandboxes) == sum(got.values())


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", list(OWN))
def test_no_framework_passes_what_did_not_run(stack: Stack, tmp_path: Path, framework: str) -> None:
    """A name that nothing has, and a test that ends its process in the midst of a run."""
    folder = copied(framework, tmp_path / "project", {})
    (file,) = folder.glob("sums.*")
    name = file.name
    prefix = "[small] > " if framework == "playwright" else ""
    text = file.read_text() + "\n(globalThis.it ?? test)('leaves', () => process.exit(0));\n"
    file.write_text(text)
    about = manifest(
        framework,
        image={"setup": ["npm install"]},
        suite={"tests": [f"{name} > {prefix}not there", f"{name} > {prefix}leaves", "no.test.js"]},
    )
    (folder / "glovebox.json").write_text(json.dumps(about))
    ended = stack.run(folder, seconds=280)
    results = [test["result"] for test in ended.report["tests"]]
    # vitest and Playwright notice the exit and call that test failed.
    notices = framework in ("vitest", "playwright")
    assert results == ["errored", "failed" if notices else "errored", "errored"]
    assert ended.code == (1 if notices else 3)


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", list(OWN))
def test_a_framework_that_is_not_installed_is_named(
    stack: Stack, tmp_path: Path, framework: str
) -> None:
    ended = stack.run(copied(framework, tmp_path / "project", manifest(framework)))
    assert ended.code == 3
    (test,) = ended.report["tests"]
    assert test["result"] == "errored"
    assert "is not installed" in test["message"]


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_vitest_5_with_a_node_js_of_its_own(stack: Stack, tmp_path: Path) -> None:
    about = manifest("vitest", image={"setup": ["npm install"]}, suite={"isolation": "suite"})
    folder = copied("vitest", tmp_path / "project", about)
    needs = {"vitest": "5.1.2", "node": "22.23.3"}
    package = {"name": "sums", "private": True, "devDependencies": needs}
    (folder / "package.json").write_text(json.dumps(package))
    ended = stack.run(folder, seconds=280)
    assert ended.code == 1, ended.err
    results = Counter(test["result"] for test in ended.report["tests"])
    assert results == {"passed": 13, "failed": 4, "skipped": 3}

"""A real package's own tests, as published: every one ends as it does in plain `node --test`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from glovebox.frameworks.title_path import parse_id

from benchmarks.npm_packages import unpacked_package
from tests.e2e.conftest import Stack
from tests.e2e.javascript.test_javascript import Endings, natively

NEEDS = "fast-deep-equal@3 fast-querystring@1 safe-regex2@5 proxyquire@2 rfdc@1"
# Its own package.json asks for tools that its tests do not need.
SETUP = f"mkdir deps && cd deps && echo '{{}}' >package.json && npm install {NEEDS}"
SETUP += " && mv node_modules .. && cd .. && rm -r deps"
REPORTER = """
export default async function* (events) {
  let below = [];
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const { name, nesting } = data;
    const parts = below.filter((one) => one.nesting > nesting);
    below = below.filter((one) => one.nesting <= nesting);
    const mine = [{ nesting, name, passed: type === 'test:pass' }];
    const inner = parts.map((one) => ({ ...one, nesting }));
    below.push(...(data.details?.type === 'suite' ? inner : mine));
    if (nesting === 0) for (const one of below.splice(0)) yield JSON.stringify(one) + '\\n';
  }
}
"""
"""What counts as a test, told anew: all but suites, and but what a test starts within itself."""


def own_endings(folder: Path) -> Endings:
    reporter = folder.parent / "reporter.mjs"
    reporter.write_text(REPORTER)
    said = natively(folder, "node", "--test", f"--test-reporter={reporter}").stdout
    told = [json.loads(line) for line in said.splitlines() if line.startswith('{"nesting"')]
    # Node.js counts a file that registers no test as a test that passed, named by its path.
    tests = [one for one in told if not Path(one["name"]).is_absolute()]
    return Counter((one["name"], "passed" if one["passed"] else "failed") for one in tests)


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm")
def test_every_test_of_find_my_way_ends_as_in_plain_node_test(stack: Stack, tmp_path: Path) -> None:
    package = unpacked_package("find-my-way", "9.10.2")
    source, plain = tmp_path / "source", tmp_path / "plain"
    for folder in (source, plain):
        shutil.copytree(package, folder)
    about = {
        "version": 1,
        "name": "find-my-way",
        "source": {"path": "."},
        "image": {"setup": [SETUP]},
        "parallelism": 40,
        "suites": [{"name": "unit", "framework": "node:test", "isolation": "file"}],
    }
    (source / "glovebox.json").write_text(json.dumps(about))
    ended = stack.run(source, seconds=400)
    subprocess.run(["bash", "-ec", SETUP], cwd=plain, check=True, stdout=subprocess.DEVNULL)
    native = own_endings(plain)
    got = Counter((parse_id(t["test_id"])[1][-1], t["result"]) for t in ended.report["tests"])
    assert got == native
    assert sum(got.values()) == ended.report["summary"]["total"] == 562

"""What the base image offers of the machine: each runtime does real work under every limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.sandbox.client import Box

NODE = Path("/usr/bin/node")
needs_node = pytest.mark.skipif(not NODE.exists(), reason="this machine has no node below /usr")

WORKERS = """
const { Worker } = require("worker_threads");
const http = require("http"), fs = require("fs"), child = require("child_process");
fs.writeFileSync("/workspace/from-node", "written");
const server = http.createServer((_, answer) => answer.end("served")).listen(0, () => {
  http.get({ port: server.address().port }, (got) => got.on("data", (data) => {
    const worker = new Worker("require('worker_threads').parentPort.postMessage(6 * 7)",
                              { eval: true });
    worker.on("message", (value) => {
      console.log(String(data), value, child.execSync("echo child").toString().trim());
      server.close();
    });
  }));
});
"""


@needs_node
def test_node_serves_threads_and_starts_programs(shared: Box) -> None:
    shared.write("/tmp/work.js", WORKERS)
    assert shared.shell("node /tmp/work.js && cat /workspace/from-node") == (
        "served 42 child\nwritten"
    )


@needs_node
def test_node_ends_by_itself_when_its_memory_does(shared: Box) -> None:
    grow = "const a = []; for (;;) a.push(new Array(1e6).fill(a.length))"
    answer = shared.command(f"node --max-old-space-size=64 -e '{grow}'")
    assert answer.body["exit_code"] != 0
    assert shared.shell("node -p 1+1") == "2"


@needs_node
@pytest.mark.skipif(not Path("/usr/bin/npm").exists(), reason="this machine has no npm")
def test_npm_installs_a_package_of_ones_own(shared: Box) -> None:
    line = (
        'mkdir -p pkg && cd pkg && echo \'{"name":"tiny","version":"1.0.0"}\' > package.json'
        " && echo 'module.exports = 42' > index.js && cd .. && mkdir -p use && cd use"
        " && npm install --offline --no-audit --no-fund ../pkg >/tmp/npm.log 2>&1;"
        " node -p 'require(\"tiny\")'"
    )
    assert shared.shell(line) == "42", shared.shell("cat /tmp/npm.log")


def test_python_threads_compiles_and_makes_an_environment(shared: Box) -> None:
    code = """
        import concurrent.futures as f, multiprocessing, subprocess, sys
        with f.ThreadPoolExecutor(8) as pool:
            print(sum(pool.map(lambda n: n * n, range(10))))
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(sum(pool.map(abs, range(-5, 0))))
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "/tmp/venv"], check=True)
        print(subprocess.check_output(["/tmp/venv/bin/python", "-c", "print(7)"], text=True))
    """
    assert shared.python(code).split() == ["285", "15", "7"]

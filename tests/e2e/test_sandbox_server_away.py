"""What a user sees when the provider of sandboxes is gone in the middle of a run."""

from __future__ import annotations

import subprocess

import psutil
import pytest

from tests.e2e.conftest import Project, environment, start_stack, stop_stack
from tests.e2e.live_sandboxes import live_sandboxes, wait_for_sandboxes


def test_without_its_sandbox_server_a_run_ends_errored(project: Project) -> None:
    code = "import time\n" + "".join(f"def test_{i}(): time.sleep(2)\n" for i in range(20))
    own = start_stack()
    try:
        folder = project.write({"test_a.py": code})
        before = live_sandboxes(own)
        process = subprocess.Popen(
            own.command("run", folder, "-o", "json"),
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        wait_for_sandboxes(own, at_least=before + 2)
        for child in psutil.Process(own.process.pid).children(recursive=True):
            if any("glovebox_local.sandbox" in part for part in child.cmdline()):
                child.kill()
                break
        else:
            pytest.fail("no sandbox server found")
        out, _ = process.communicate(timeout=100)
        assert process.returncode == 3, out[-2000:]
        own.check()
    finally:
        stop_stack(own)

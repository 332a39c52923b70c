"""What runs in a sandbox, and what its agent tells of itself."""

from __future__ import annotations

from typing import Any

import pytest
from hopx_ai.errors import AgentError

from tests.conformance.python.surface import in_both, in_one

_SLEEPERS = "pgrep -c sleep || true"
_ASLEEP = "until pgrep sleep; do sleep 0.01; done"


def _started(sandbox: Any) -> dict[str, Any]:
    started: dict[str, Any] = sandbox.run_code_background(
        "sleep 600", language="bash", name="sleeper"
    )
    return started


@in_one("sync", "Sandbox.list_processes", "Sandbox.kill_process")
def test_a_process_is_listed_and_killed(sandbox: Any) -> None:
    process_id = _started(sandbox)["process_id"]
    [listed] = [p for p in sandbox.list_processes() if p["process_id"] == process_id]
    told = (listed["name"], listed["status"], listed["language"])
    assert told == ("sleeper", "running", "bash")
    assert listed["pid"] > 0
    sandbox.commands.run(_ASLEEP)
    sandbox.kill_process(process_id)
    [listed] = [p for p in sandbox.list_processes() if p["process_id"] == process_id]
    assert listed["status"] == "killed"
    assert sandbox.commands.run(_SLEEPERS).stdout == "0\n"


@in_one("async", "AsyncSandbox.list_processes", "AsyncSandbox.kill_process")
def test_a_process_is_killed_the_asynchronous_way(sandbox: Any) -> None:
    # The SDK's own: this one lists every process of the system, and kills at another address.
    process_id = _started(sandbox)["process_id"]
    sandbox.commands.run(_ASLEEP)
    assert any(process["pid"] > 0 for process in sandbox.list_processes())
    sandbox.kill_process(process_id)
    assert sandbox.commands.run(_SLEEPERS).stdout == "0\n"


@in_both("Sandbox.kill_process")
def test_what_does_not_run_cannot_be_killed(sandbox: Any) -> None:
    with pytest.raises(AgentError):
        sandbox.kill_process("bg_0")


@in_both("Sandbox.list_system_processes")
def test_the_systems_processes_are_listed(sandbox: Any) -> None:
    sandbox.commands.run("sleep 600", background=True)
    listed = sandbox.list_system_processes()
    assert all(process["pid"] > 0 for process in listed)
    assert any("sleep" in str(process) for process in listed)


@in_both("Sandbox.get_agent_info")
def test_the_agent_tells_what_it_is(sandbox: Any) -> None:
    info = sandbox.get_agent_info()
    assert (info["vm_id"], info["platform"]) == (sandbox.sandbox_id, "linux")
    assert info["version"]


@in_both("Sandbox.get_metrics_snapshot", "Sandbox.get_agent_metrics")
def test_what_the_agent_did_is_counted(sandbox: Any) -> None:
    sandbox.commands.run("true")
    snapshot = sandbox.get_metrics_snapshot()
    assert isinstance(snapshot, dict)
    assert snapshot
    metrics = sandbox.get_agent_metrics()
    assert isinstance(metrics, dict)
    assert metrics


@in_both("Sandbox.get_jupyter_sessions")
def test_python_sessions_are_listed(sandbox: Any) -> None:
    assert isinstance(sandbox.get_jupyter_sessions(), list)
    sandbox.run_code("x = 1")
    assert len(sandbox.get_jupyter_sessions()) == 1

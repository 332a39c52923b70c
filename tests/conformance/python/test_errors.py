"""How refusals reach the SDKs' callers, who mind the error's class.

The asynchronous SDK reads an agent's error from another field than the agent has it in, and breaks
on most codes; its errors are asserted as they are, so that a new release of it shows here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hopx_ai.errors import (
    AgentError,
    CodeExecutionError,
    CommandExecutionError,
    DesktopNotAvailableError,
    FileOperationError,
    HopxError,
)

from tests.conformance.python.conftest import Make
from tests.conformance.python.surface import Kind, in_both, in_one

Limit = Callable[[int], dict[str, int]]

# What the asynchronous SDK raises as it fails to make its own error: an argument that the class
# does not take.
BROKEN = TypeError


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK waits a second or two before it asks again, which it does in vain here."""

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    blocking = SimpleNamespace(sleep=lambda _: None, time=time.time)
    monkeypatch.setattr("hopx_ai._agent_client.time", blocking)
    monkeypatch.setattr("hopx_ai._async_agent_client.asyncio", SimpleNamespace(sleep=sleep))


@in_one("sync", "Files.read", "Files.write", "Files.list")
def test_a_forbidden_path_is_a_file_operation_error(sandbox: Any) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = [
        ("read", ("/etc/shadow",)),
        ("write", ("/etc/mine", "")),
        ("list", ("/root",)),
        ("remove", ("/etc/passwd",)),
    ]
    for action, arguments in asked:
        with pytest.raises(FileOperationError) as refused:
            getattr(sandbox.files, action)(*arguments)
        assert (refused.value.code, refused.value.status_code) == ("PATH_NOT_ALLOWED", 403)
        assert refused.value.request_id


@in_one("async", "AsyncFiles.read")
def test_a_forbidden_path_breaks_the_asynchronous_sdk(sandbox: Any) -> None:
    with pytest.raises(BROKEN):
        sandbox.files.read("/etc/shadow")


@in_one("sync", "Files.write")
def test_a_missing_folder_is_told(sandbox: Any) -> None:
    with pytest.raises(FileOperationError) as homeless:
        sandbox.files.write("/workspace/no/such/folder", "")
    assert homeless.value.code == "DIRECTORY_NOT_FOUND"


@in_one("sync", "Commands.run", "Sandbox.run_code")
def test_what_takes_too_long_is_killed_and_told(sandbox: Any) -> None:
    asked: list[tuple[Any, dict[str, str]]] = [
        (sandbox.commands.run, {"command": "sleep 600"}),
        (sandbox.run_code, {"code": "import time; time.sleep(600)"}),
        (sandbox.run_code, {"code": "sleep 600", "language": "bash"}),
    ]
    for late, arguments in asked:
        with pytest.raises(CodeExecutionError) as told:
            late(**arguments, timeout=1)
        assert (told.value.code, told.value.status_code) == ("EXECUTION_TIMEOUT", 408)
    assert sandbox.commands.run("pgrep -c sleep || true").stdout == "0\n"


@in_one("async", "AsyncCommands.run", "AsyncSandbox.run_code")
def test_what_takes_too_long_breaks_the_asynchronous_sdk(sandbox: Any) -> None:
    with pytest.raises(BROKEN):
        sandbox.commands.run("sleep 600", timeout_seconds=1)
    with pytest.raises(BROKEN):
        sandbox.run_code("sleep 600", language="bash", timeout_seconds=1)
    assert sandbox.commands.run("pgrep -c sleep || true").stdout == "0\n"


@in_both("Commands.run")
def test_a_folder_that_is_not_there_is_an_error_and_not_a_result(sandbox: Any, kind: Kind) -> None:
    # The asynchronous one knows no error of its own for it.
    with pytest.raises(FileOperationError if kind == "sync" else AgentError):
        sandbox.commands.run("true", working_dir="/nowhere")


@in_both("Sandbox.run_code")
def test_an_unknown_language_is_refused(sandbox: Any) -> None:
    with pytest.raises((HopxError, BROKEN)):
        sandbox.run_code("1", language="cobol")


@in_one("sync", "Sandbox.run_code")
def test_a_refusals_sentence_reaches_the_caller(sandbox: Any) -> None:
    with pytest.raises(AgentError, match="language"):
        sandbox.run_code("1", language="cobol")


@in_both("Commands.run")
def test_a_sandbox_that_is_gone_is_an_error_and_not_a_result(make: Make, limit: Limit) -> None:
    sandbox = make()
    sandbox.commands.run("true")
    sandbox.kill()
    with pytest.raises(HopxError):
        sandbox.commands.run("true", **limit(5))


@in_one("sync", "Sandbox.commands")
def test_there_is_no_desktop_and_it_says_so(sandbox: Any) -> None:
    assert sandbox.commands is not None
    for ask in ("start_vnc", "get_windows", "get_display"):
        with pytest.raises(DesktopNotAvailableError):
            getattr(sandbox.inner.desktop, ask)()


def test_the_codes_that_break_are_those_that_were_known() -> None:
    # The classes, not the server: when this fails, the SDK was mended, and the tests above may be.
    for code in (FileOperationError, CodeExecutionError, CommandExecutionError):
        with pytest.raises(TypeError):
            code("text", path="/p", operation="o", exit_code=1, command="c", code="x")

"""The vendor's own SDK, unmodified, on all that an agent offers; its asynchronous twin too."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess
from hopx_ai import AsyncSandbox, Sandbox
from hopx_ai.errors import AgentError, CodeExecutionError, DesktopNotAvailableError

from tests.integration.sandbox.client import API_KEY, eventually
from tests.integration.sandbox.receiver import receiver


@pytest.fixture(scope="module")
def sdk(server: SandboxServerProcess) -> Iterator[Sandbox]:
    sandbox = Sandbox.create(
        template="code-interpreter",
        api_key=API_KEY,
        base_url=server.url,
        internet_access=False,
        timeout_seconds=120,
    )
    yield sandbox
    sandbox.kill()


@asynccontextmanager
async def twin(url: str) -> AsyncIterator[Any]:
    sandbox = await AsyncSandbox.create(
        template="code-interpreter",
        api_key=API_KEY,
        base_url=url,
        internet_access=False,
        timeout_seconds=120,
    )
    try:
        yield sandbox
    finally:
        await sandbox.kill()
        for client in (sandbox._client, sandbox._agent_client):
            if client is not None:
                await client.close()


def use_twin(server: SandboxServerProcess, use: Callable[[Any], Awaitable[None]]) -> None:
    async def run() -> None:
        async with twin(server.url) as sandbox:
            await use(sandbox)

    asyncio.run(run())


def test_code_keeps_its_state_and_shows_its_values(sdk: Sandbox) -> None:
    assert sdk.run_code("x = 41", preflight=True).success
    result = sdk.run_code("print(x + 1)\nimport sys; print('e', file=sys.stderr)")
    assert (result.stdout, result.stderr, result.exit_code) == ("42\n", "e\n", 0)
    assert result.execution_time > 0
    rich = sdk.run_code("class A:\n    def _repr_html_(self): return '<b>'\nA()")
    assert [output.type.value for output in rich.rich_outputs] == ["text/html"]
    assert rich.rich_outputs[0].data == {"text/html": "<b>"}


def test_a_failure_is_a_result_and_no_error(sdk: Sandbox) -> None:
    result = sdk.run_code("1 / 0")
    assert (result.success, result.exit_code) == (False, 1)
    assert "ZeroDivisionError" in result.stderr


@pytest.mark.parametrize(
    ("language", "code"), [("javascript", "console.log(process.env.A)"), ("bash", "echo $A")]
)
def test_code_of_other_languages(sdk: Sandbox, language: str, code: str) -> None:
    result = sdk.run_code(code, language=language, env={"A": "b"}, working_dir="/tmp")
    assert (result.stdout, result.success) == ("b\n", True)


def test_code_over_its_time_is_an_execution_error(sdk: Sandbox) -> None:
    with pytest.raises(CodeExecutionError) as late:
        sdk.run_code("while True: pass", timeout=1)
    assert (late.value.code, late.value.status_code) == ("EXECUTION_TIMEOUT", 408)


def test_a_language_that_is_not_there_is_an_agent_error(sdk: Sandbox) -> None:
    with pytest.raises(AgentError) as unknown:
        sdk.run_code("package main", language="go")
    assert unknown.value.code == "LANGUAGE_NOT_SUPPORTED"


def test_background_code_is_listed_and_killed(sdk: Sandbox) -> None:
    started = sdk.run_code_background("import time; time.sleep(60)", name="sleeper")
    assert started["process_id"].startswith("bg_")
    assert started["status"] == "running"
    assert (started["name"], bool(started["execution_id"])) == ("sleeper", True)
    known = {process["process_id"]: process for process in sdk.list_processes()}
    assert known[started["process_id"]]["status"] == "running"
    sdk.kill_process(started["process_id"])
    known = {process["process_id"]: process for process in sdk.list_processes()}
    assert known[started["process_id"]]["status"] == "killed"
    with pytest.raises(AgentError) as unknown:
        sdk.kill_process("bg_0")
    assert unknown.value.code == "PROCESS_NOT_FOUND"


def test_a_background_command_can_be_killed_by_the_id_in_its_text(sdk: Sandbox) -> None:
    said = sdk.commands.run("sleep 961", background=True).stdout
    sdk.kill_process(said.rpartition(" ")[2])
    assert sdk.commands.run("pgrep -f '[s]leep 961'").exit_code == 1


def test_the_systems_processes_are_listed(sdk: Sandbox) -> None:
    listed = sdk.list_system_processes()
    assert {"pid", "name", "status", "cpu_percent", "memory_mb", "command"} <= set(listed[0])


def test_sessions_metrics_information_and_cache(sdk: Sandbox) -> None:
    sdk.run_code("1")
    assert sdk.get_jupyter_sessions()[0]["execution_state"] == "idle"
    metrics = sdk.get_metrics_snapshot()
    assert 0 <= metrics["system"]["cpu"]["usage_percent"] <= 100
    assert 0 < metrics["system"]["memory"]["usage_percent"] <= 100
    assert metrics["process"]["count"] >= 1
    assert metrics["cache"]["size"] == 0
    assert sdk.get_agent_metrics()["total_requests"] > 0
    assert sdk.get_agent_info()["features"]["terminal"] is True
    stats = sdk.cache.stats()
    assert (stats["hits"], stats["misses"], stats["count"]) == (0, 0, 0)
    assert f"{stats['hit_rate']:.2%}" == "0.00%"
    assert sdk.cache.clear()["entries_removed"] == 0


def test_there_is_no_desktop_and_the_sdk_knows(
    sdk: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopx_ai._agent_client.time", SimpleNamespace(sleep=lambda seconds: None))
    with pytest.raises(DesktopNotAvailableError):
        sdk.desktop.start_vnc()
    with pytest.raises(DesktopNotAvailableError):
        sdk.desktop.screenshot()


def test_a_result_is_posted_signed(sdk: Sandbox) -> None:
    with receiver() as shown:
        started = sdk.run_code_async(
            "print('done')",
            callback_url=f"{shown.url}/hook",
            callback_headers={"Authorization": "Bearer mine"},
            callback_signature_secret="secret",
        )
        assert eventually(lambda: bool(shown.came))
        ((path, headers, body),) = shown.came
    assert (path, headers["authorization"]) == ("/hook", "Bearer mine")
    signed = headers["x-hopx-timestamp"].encode() + body
    assert headers["x-hopx-signature"] == (
        f"sha256={hmac.new(b'secret', signed, hashlib.sha256).hexdigest()}"
    )
    said = json.loads(body)
    assert said["execution_id"] == started["execution_id"]
    assert (said["status"], said["stdout"], said["exit_code"]) == ("completed", "done\n", 0)
    assert started["callback_url"] == f"{shown.url}/hook"


def test_code_streams(sdk: Sandbox) -> None:
    async def use() -> list[dict[str, Any]]:
        code = "import sys; print('a'); print('b', file=sys.stderr); sys.exit(2)"
        return [message async for message in sdk.run_code_stream(code, env={"A": "1"})]

    heard = asyncio.run(use())
    assert "".join(m["data"] for m in heard if m["type"] == "stdout") == "a\n"
    assert "".join(m["data"] for m in heard if m["type"] == "stderr") == "b\n"
    assert (heard[-2]["exit_code"], heard[-1]["success"]) == (2, False)


def test_a_terminal_is_used(sdk: Sandbox) -> None:
    async def use() -> tuple[str, int]:
        shown = ""
        async with await sdk.terminal.connect() as socket:
            await sdk.terminal.resize(socket, cols=77, rows=22)
            await sdk.terminal.send_input(socket, "stty size; exit 5\n")
            async for message in sdk.terminal.iter_output(socket):
                if message["type"] == "exit":
                    return shown, message["code"]
                shown += message["data"]
        raise AssertionError(shown)

    shown, code = asyncio.run(use())
    assert "22 77" in shown
    assert code == 5


async def first_change(changes: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    async for message in changes:
        return message
    raise AssertionError


def test_a_folder_is_watched(sdk: Sandbox) -> None:
    async def use() -> dict[str, Any]:
        waiting = asyncio.create_task(first_change(sdk.files.watch("/workspace")))
        number = 0
        while not waiting.done():  # nobody says when the watch has begun
            number += 1
            await asyncio.to_thread(sdk.files.write, f"/workspace/{number}", "x")
            await asyncio.wait((waiting,), timeout=0.05)
        return await waiting

    message = asyncio.run(use())
    assert message["type"] == "change"
    assert message["event"] in ("created", "modified")
    assert message["path"].startswith("/workspace/")
    assert message["timestamp"]


def test_the_twin_runs_code(server: SandboxServerProcess) -> None:
    async def use(sandbox: Any) -> None:
        await sandbox.run_code("x = 41")
        result = await sandbox.run_code("print(x + 1)")
        assert (result.stdout, result.exit_code) == ("42\n", 0)
        shown = await sandbox.run_code("echo $A", language="bash", env={"A": "b"})
        assert shown.stdout == "b\n"
        assert (await sandbox.get_jupyter_sessions())[0]["execution_state"] == "idle"

    use_twin(server, use)


def test_the_twin_uses_files_and_variables(server: SandboxServerProcess) -> None:
    async def use(sandbox: Any) -> None:
        await sandbox.files.mkdir("/workspace/a/b")
        await sandbox.files.write("/workspace/a/b/c", "é\n")
        assert await sandbox.files.read("/workspace/a/b/c") == "é\n"
        assert await sandbox.files.exists("/workspace/a/b/c") is True
        listed = await sandbox.files.list("/workspace/a/b")
        assert [file["name"] if isinstance(file, dict) else file.name for file in listed] == ["c"]
        await sandbox.files.remove("/workspace/a")
        assert await sandbox.files.exists("/workspace/a") is False
        await sandbox.env.set_all({"A": "1"})
        await sandbox.env.update({"B": "2"})
        assert await sandbox.env.get_all() == {"A": "1", "B": "2"}
        assert (await sandbox.run_code("import os; print(os.environ['B'])")).stdout == "2\n"

    use_twin(server, use)


def test_the_twin_lists_and_kills_what_runs_in_the_background(server: SandboxServerProcess) -> None:
    async def use(sandbox: Any) -> None:
        code = await sandbox.run_code_background("import time; time.sleep(60)", name="sleeper")
        said = (await sandbox.commands.run("sleep 962", background=True)).stdout
        ids = [code["process_id"], said.rpartition(" ")[2]]
        for process_id in ids:
            known = {p["process_id"]: p for p in await sandbox.list_processes()}
            assert known[process_id]["status"] == "running"
            await sandbox.kill_process(process_id)
        known = {p["process_id"]: p for p in await sandbox.list_processes()}
        assert {known[process_id]["status"] for process_id in ids} == {"killed"}
        assert "pid" in (await sandbox.list_system_processes())[0]

    use_twin(server, use)


def test_the_twin_asks_for_figures(server: SandboxServerProcess) -> None:
    async def use(sandbox: Any) -> None:
        assert (await sandbox.get_metrics_snapshot())["process"]["count"] >= 1
        assert (await sandbox.get_agent_metrics())["total_requests"] > 0
        assert (await sandbox.get_agent_info())["features"]["streaming"] is True
        assert (await sandbox.cache.stats())["count"] == 0
        await sandbox.cache.clear()

    use_twin(server, use)


def test_the_twin_streams_types_and_watches(server: SandboxServerProcess) -> None:
    async def use(sandbox: Any) -> None:
        heard = [message async for message in sandbox.run_code_stream("print('a')")]
        assert "".join(m["data"] for m in heard if m["type"] == "stdout") == "a\n"
        assert heard[-1]["success"] is True
        async with await sandbox.terminal.connect() as socket:
            await sandbox.terminal.send_input(socket, "exit 6\n")
            codes = [
                message["code"]
                async for message in sandbox.terminal.iter_output(socket)
                if message["type"] == "exit"
            ]
        assert codes == [6]
        waiting = asyncio.create_task(first_change(sandbox.files.watch("/workspace")))
        number = 0
        while not waiting.done():
            number += 1
            await sandbox.files.write(f"/workspace/{number}", "x")
            await asyncio.wait((waiting,), timeout=0.05)
        assert (await waiting)["type"] == "change"

    use_twin(server, use)


def test_the_twin_has_its_result_posted(server: SandboxServerProcess) -> None:
    async def use(sandbox: Any) -> None:
        started = await sandbox.run_code_async("print('done')", callback_url=shown.url)
        for _ in range(500):
            if shown.came:
                break
            await asyncio.sleep(0.01)
        ((_, _, body),) = shown.came
        assert json.loads(body)["execution_id"] == started["execution_id"]

    with receiver() as shown:
        use_twin(server, use)

"""What comes bit by bit: the output of code, and a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hopx_ai.errors import AgentError

from tests.conformance.python.blocking import Blocking
from tests.conformance.python.conftest import Make
from tests.conformance.python.surface import Kind, in_both


@in_both("Sandbox.run_code_stream")
def test_output_comes_while_code_runs(sandbox: Any) -> None:
    # It waits for a pipe that is written only once its first line has come.
    sandbox.commands.run("mkfifo /tmp/pipe")
    code = """
import sys
print('first', flush=True)
open('/tmp/pipe').read()
print('2', file=sys.stderr)
"""
    messages = sandbox.run_code_stream(code)
    first = next(messages)
    assert (first["type"], first["data"].strip()) == ("stdout", "first")
    assert first["timestamp"]
    sandbox.commands.run("echo > /tmp/pipe")
    rest = list(messages)
    kinds = [message["type"] for message in rest]
    assert kinds[-2:] == ["result", "complete"]
    assert "".join(m["data"] for m in rest if m["type"] == "stderr") == "2\n"
    assert rest[-2]["exit_code"] == 0
    assert rest[-2]["execution_time"] > 0
    assert rest[-1]["success"] is True


@in_both("Sandbox.run_code_stream")
def test_streamed_code_may_fail(make: Make) -> None:
    sandbox = make(env_vars={"A": "a"})
    messages = list(
        sandbox.run_code_stream(
            "echo $A$B; pwd; exit 4", language="bash", env={"B": "b"}, working_dir="/tmp"
        )
    )
    output = "".join(m["data"] for m in messages if m["type"] == "stdout")
    assert output == "ab\n/tmp\n"
    [result] = [message for message in messages if message["type"] == "result"]
    assert result["exit_code"] == 4
    assert messages[-1] | {"timestamp": 0} == {"type": "complete", "success": False, "timestamp": 0}


@in_both("Sandbox.run_code_stream")
def test_streamed_code_ends_at_its_time(sandbox: Any) -> None:
    messages = list(sandbox.run_code_stream("sleep 600", language="bash", timeout=1))
    assert messages[-1]["type"] == "complete"
    assert messages[-1]["success"] is False
    assert sandbox.commands.run("pgrep -c sleep || true").stdout == "0\n"


@contextmanager
def opened(sandbox: Any, runner: asyncio.Runner) -> Iterator[tuple[Blocking, Any]]:
    terminal = sandbox.terminal
    socket = terminal.connect(timeout=20)
    yield terminal, socket
    runner.run(socket.close())


def _until(output: Iterator[dict[str, Any]], wanted: str) -> str:
    seen = ""
    for message in output:
        if message["type"] == "output":
            seen += message["data"]
        if wanted in seen:
            break
    return seen


@in_both(
    "Sandbox.terminal",
    "Terminal.connect",
    "Terminal.send_input",
    "Terminal.resize",
    "Terminal.iter_output",
)
def test_a_terminal_is_one(sandbox: Any, runner: asyncio.Runner) -> None:
    with opened(sandbox, runner) as (terminal, socket):
        terminal.resize(socket, cols=97, rows=31)
        terminal.send_input(socket, "stty size; echo $((6 * 7))-é\n")
        output = terminal.iter_output(socket)
        seen = _until(output, "42-é")
        assert "31 97" in seen
        terminal.send_input(socket, "sleep 600\n")
        sandbox.commands.run("until pgrep sleep; do sleep 0.01; done")
        terminal.send_input(socket, "\x03")
        _until(output, "^C")
        terminal.send_input(socket, "echo interrup''ted\n")
        _until(output, "interrupted")
        terminal.send_input(socket, "exit 5\n")
        last = [message for message in output if message["type"] == "exit"]
        assert [message["code"] for message in last] == [5]


@in_both("Terminal.connect")
def test_what_a_terminal_started_ends_with_it(sandbox: Any, runner: asyncio.Runner) -> None:
    with opened(sandbox, runner) as (terminal, socket):
        terminal.send_input(socket, "sleep 600 & echo start''ed\n")
        _until(terminal.iter_output(socket), "started")
    assert sandbox.commands.run("until ! pgrep sleep; do sleep 0.01; done").exit_code == 0


@in_both("Terminal.connect")
def test_a_terminal_needs_a_token(sandbox: Any, kind: Kind, runner: asyncio.Runner) -> None:
    import websockets

    url = sandbox.get_info().public_host.replace("http://", "ws://")

    async def knock() -> None:
        await websockets.connect(f"{url}/terminal")

    with pytest.raises(websockets.InvalidStatus) as refused:
        runner.run(knock())
    assert refused.value.response.status_code == 401
    with opened(sandbox, runner):
        pass
    if kind == "sync":
        client = sandbox.inner._ws_client
        client.update_jwt_token("wrong")
        with pytest.raises(AgentError):
            sandbox.terminal.connect()

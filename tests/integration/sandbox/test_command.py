"""`glovebox local sandbox` as its user meets it: start, what it says, and its end."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from glovebox_cli.options import IsolationLevel
from glovebox_local.sandbox.isolation import LEVELS
from glovebox_local.sandbox.settings import SandboxSettings

from tests.integration.sandbox.client import request

DOCS = Path(__file__).parents[3] / "docs"
KEY = {"GLOVEBOX_SANDBOX_API_KEY": "key-of-the-environment"}
COMMAND = (sys.executable, "-c", "from glovebox_cli.main import main; main()", "local", "sandbox")


def environment(given: dict[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, **given}


@contextmanager
def started(
    *options: str, env: dict[str, str] = KEY
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The command with ``-o json``, up and answering."""
    pipe = subprocess.PIPE
    command = (*COMMAND, "-o", "json", *options)
    process = subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment(env), start_new_session=True
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline() or "{}")
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def listed(url: str, key: str) -> int:
    return request(url, "GET", "/v1/sandboxes", None, {"X-API-Key": key}).status


def failed(*options: str, env: dict[str, str] = KEY) -> tuple[int, str]:
    command = (*COMMAND, *options)
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment(env), timeout=30, check=False
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_with_every_sandbox(number: signal.Signals) -> None:
    with started() as (process, said):
        create = {"template_name": "base"}
        key = {"X-API-Key": KEY["GLOVEBOX_SANDBOX_API_KEY"]}
        assert request(said["url"], "POST", "/v1/sandboxes", create, key).status == 201
        members = psutil.Process(said["pid"]).children(recursive=True)
        assert len(members) > 1
        # A terminal's Ctrl-C goes to every process of the group.
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in errors
        assert "no sandbox is left" in errors
        assert psutil.wait_procs(members, timeout=5)[1] == []


def test_a_given_key_opens_and_is_not_repeated() -> None:
    with started("--api-key", "key-of-the-option") as (process, said):
        assert said["api_key"] is None
        assert listed(said["url"], "key-of-the-option") == 200
        assert listed(said["url"], KEY["GLOVEBOX_SANDBOX_API_KEY"]) == 401
        process.terminate()
        assert "key-of-the-option" not in "".join(process.communicate(timeout=20))


def test_without_a_key_a_random_one_is_made_and_printed() -> None:
    with started(env={}) as (_, first), started(env={}) as (_, second):
        assert first["api_key"] != second["api_key"]
        assert len(first["api_key"]) >= 32
        assert listed(first["url"], first["api_key"]) == 200
        assert listed(first["url"], second["api_key"]) == 401
        assert listed(first["url"], "") == 401


def test_it_says_where_it_is_and_what_holds() -> None:
    with started() as (process, said):
        process.terminate()
        _, errors = process.communicate(timeout=20)
        line = errors.splitlines()[0]
        assert said["url"] in line
        assert f"isolation {said['isolation']}" in line
        for missing in said["not_enforced"]:
            assert missing in line
        if not said["not_enforced"]:
            assert "every limit is enforced" in line


def test_as_text_it_says_the_same() -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen(COMMAND, stdout=pipe, stderr=pipe, text=True, env=environment({}))
    assert process.stdout is not None
    rows = dict(process.stdout.readline().split(maxsplit=1) for _ in range(5))
    said = {name: value.strip() for name, value in rows.items()}
    assert set(said) == {"url", "api_key", "isolation", "not_enforced", "pid"}
    assert listed(said["url"], said["api_key"]) == 200
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_info_tells_limits_and_quotas_to_anybody() -> None:
    options = ("--pids", "99", "--cpus", "0.5", "--credits", "3")
    with started(*options) as (_, said):
        info = request(said["url"], "GET", "/info").body
        assert (info["isolation"], info["not_enforced"]) == (
            said["isolation"],
            said["not_enforced"],
        )
        assert (info["limits"]["pids"], info["limits"]["cpus"]) == (99, 0.5)
        assert info["quotas"] == {"creates_per_minute": None, "credits": 3, "plan_limit": None}


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, errors = failed("--port", port)
    assert code == 3
    assert port in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "options",
    [
        ("--port", "70000"),
        ("--port", "x"),
        ("--pids", "0"),
        ("--credits", "0"),
        ("--isolation", "none"),
        ("--api-key", "with a space"),
        ("--api-key", "ü"),
    ],
)
def test_a_wrong_option_is_refused(options: tuple[str, ...]) -> None:
    code, errors = failed(*options)
    assert code == 2
    assert "Traceback" not in errors


def test_levels_and_defaults_are_the_servers_own() -> None:
    assert [level.value for level in IsolationLevel] == list(LEVELS)
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    default = SandboxSettings(api_key="")
    for name in ("max_sandboxes", "memory_mb", "pids", "cpus", "workspace_mb", "tmp_mb"):
        row = next(r for r in text.splitlines() if f"`--{name.replace('_', '-')} N`" in r)
        assert re.search(rf"\b{getattr(default, name):g}\b", row), row


def test_the_documented_example_works_as_it_stands() -> None:
    text = (DOCS / "local.md").read_text(encoding="utf-8")
    section = text.split("## The sandbox server alone", 1)[1]
    console, example = re.findall(r"```(?:console|python)\n(.*?)```", section, re.DOTALL)[:2]
    assert len([line for line in example.splitlines() if line]) == 5
    export, serve = (shlex.split(line.removeprefix("$ ")) for line in console.splitlines())
    env = dict(word.split("=", 1) for word in export[1:])
    words = [env.get(word.removeprefix("$"), word) for word in serve[3:]]
    assert serve[:3] == ["glovebox", "local", "sandbox"]
    # The documented port may be in use on this machine; the words are the command's all the same.
    port = words.index("--port") + 1
    assert env["HOPX_BASE_URL"].endswith(f":{words[port]}")
    words[port] = "0"
    with started(*words, env={}) as (_, said):
        env["HOPX_BASE_URL"] = said["url"]
        program = [sys.executable, "-c", example]
        ended = subprocess.run(
            program, capture_output=True, text=True, env=environment(env), timeout=60, check=False
        )
        assert (ended.stdout, ended.returncode) == ("42\n\n", 0), ended.stderr
        assert (
            request(
                said["url"], "GET", "/v1/sandboxes", None, {"X-API-Key": env["HOPX_API_KEY"]}
            ).body["data"]
            == []
        )

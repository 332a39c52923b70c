"""The agent of a server that has no rights over the machine: all of it works alike."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, SMALL, Box, Client, eventually
from tests.integration.sandbox.conversation import conversation, text_of

# What root is more than an ordinary user, as far as sandboxes are concerned.
RIGHTS = ("sys_admin", "sys_ptrace", "kill", "setuid", "setgid", "dac_override", "dac_read_search")


class Unprivileged(SandboxServerProcess):
    """The server without root's rights; an ordinary user's server is that already."""

    def command(self) -> list[str]:
        if os.geteuid() != 0:
            return super().command()
        dropped = ",".join(f"-{right}" for right in RIGHTS)
        return ["setpriv", f"--bounding-set={dropped}", "--inh-caps=-all", "--", *super().command()]


@pytest.fixture(scope="module")
def weak() -> Iterator[Box]:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv to give up root's rights")
    with Unprivileged(API_KEY, options=SMALL) as server:
        assert server.isolation == "no-cgroup"
        yield Client(server.url).create()


def test_code_runs_in_a_session(weak: Box) -> None:
    weak.ask("POST", "/execute", {"code": "x = 41"})
    assert weak.ask("POST", "/execute", {"code": "x + 1"}).body["result"] == "42"
    answer = weak.ask("POST", "/execute", {"code": "echo $((1 + 1))", "language": "bash"})
    assert answer.body["stdout"] == "2\n"


def test_a_kill_ends_all_that_was_started(weak: Box) -> None:
    body = {"command": "bash", "args": ["-c", "set -m; sleep 951 & sleep 951"]}
    process_id = weak.ask("POST", "/commands/background", body).body["process_id"]
    assert eventually(lambda: weak.shell("pgrep -fc '[s]leep 951'") >= "2")
    assert weak.ask("POST", f"/execute/kill/{process_id}").body["status"] == "killed"
    assert weak.command("pgrep -f '[s]leep 951'").body["exit_code"] == 1


def test_processes_and_use_are_seen(weak: Box) -> None:
    names = {process["name"] for process in weak.ask("GET", "/processes").body["processes"]}
    assert "cat" in names
    assert weak.ask("GET", "/system").body["memory"]["used_mb"] > 0


def test_a_terminal_is_the_sandboxs_own(weak: Box) -> None:
    with conversation(weak, "/terminal") as talk:
        talk.say(type="input", data="stat -c '%U %a' $(tty); echo > /dev/tty && exit 6\n")
        heard = talk.hear_until("exit")
    assert "sandbox 620" in text_of(heard, "output")
    assert heard[-1]["code"] == 6


def test_a_folder_is_watched(weak: Box) -> None:
    with conversation(weak, "/files/watch") as talk:
        talk.say(action="watch", path="/workspace", ack=True)
        assert talk.hear()["type"] == "watching"
        weak.write("/workspace/seen", "x")
        assert talk.hear()["path"] == "/workspace/seen"

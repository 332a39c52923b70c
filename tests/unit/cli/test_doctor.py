"""`glovebox doctor`: each check says what is so, and what to do."""

from __future__ import annotations

import json
import shutil
import sys
from email.utils import formatdate

import pytest
from glovebox_cli.doctor import LEAST_DISK_BYTES, Health, clock, disk, program, sandboxes
from glovebox_cli.target import API_URL_VARIABLE

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import FakeApi


def checks(text: str) -> dict[str, dict[str, str]]:
    return {one["check"]: one for one in json.loads(text)["checks"]}


def test_an_api_that_answers_is_well(api: FakeApi, cli: Cli) -> None:
    ended = cli("doctor", "--api", api.url, "-o", "json")
    assert ended.code == 0, ended.text
    found = checks(ended.text)
    assert {name: one["health"] for name, one in found.items() if name != "clock"} == {
        "target": "ok",
        "API": "ok",
    }
    assert "ok       API: answers" in cli("doctor", "--api", api.url).text


@pytest.mark.parametrize(("status", "words"), [(403, "refuses access"), (200, "not what")])
def test_an_api_that_is_none_or_refuses_is_told(
    api: FakeApi, cli: Cli, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    monkeypatch.setattr(api, "answer", lambda *_: (status, {"message": "no"}))
    ended = cli("doctor", "--api", api.url, "-o", "json")
    assert ended.code == 3
    assert words in checks(ended.text)["API"]["words"]
    assert checks(ended.text)["API"]["advice"]


def test_an_api_that_is_away_is_told(cli: Cli) -> None:
    ended = cli("doctor", "--api", "http://127.0.0.1:9")
    assert ended.code == 3
    assert "failed   API: ConnectError" in ended.text


def test_no_running_stack_is_a_finding_with_advice(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glovebox_cli.target._running_stacks", list)
    ended = cli("doctor", "--local")
    assert ended.code == 3
    assert "failed   target: no embedded stack" in ended.text
    assert "glovebox local up" in ended.text


def test_without_a_target_this_machine_is_looked_at(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(API_URL_VARIABLE, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "bwrap" else f"/bin/{name}")
    ended = cli("doctor", "-o", "json")
    assert ended.code == 3
    found = checks(ended.text)
    assert found["bubblewrap"]["health"] == "failed"
    assert "apt-get install bubblewrap" in found["bubblewrap"]["advice"]
    assert found["git"]["health"] == "ok"
    assert "sandboxes" not in found, "without bubblewrap there is none to try"


def test_a_program_that_is_merely_useful_is_a_warning() -> None:
    assert program("x", "no-such-program", "get it").health is Health.WARNING
    assert program("x", "no-such-program", "get it", needed=True).health is Health.FAILED
    assert program("sh", "sh", "").health is Health.OK


def test_little_room_is_a_warning() -> None:
    assert disk(LEAST_DISK_BYTES).health is Health.OK
    assert disk(LEAST_DISK_BYTES - 1).health is Health.WARNING


def server(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_the_isolation_that_is_reached_is_told() -> None:
    said = {"isolation": "full", "not_enforced": []}
    assert sandboxes(server(f"print({json.dumps(said)!r})")).health is Health.OK
    said = {"isolation": "no-cgroup", "not_enforced": ["memory"]}
    found = sandboxes(server(f"print({json.dumps(said)!r})"))
    assert found.health is Health.WARNING
    assert "memory" in found.words


def test_a_sandbox_server_that_does_not_start_says_why() -> None:
    found = sandboxes(server("import sys; sys.exit('error: no namespaces here')"))
    assert found.health is Health.FAILED
    assert "no namespaces here" in found.words


def test_a_sandbox_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    mute = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(1000)"
    found = sandboxes(server(mute), patience_seconds=1.0)
    assert found.health is Health.FAILED
    assert "within 1 s" in found.words


@pytest.mark.parametrize(
    ("seconds", "health"), [(0, Health.OK), (200, Health.OK), (-400, Health.FAILED)]
)
def test_a_clock_that_is_off_is_told(seconds: int, health: Health) -> None:
    assert clock(formatdate(1000.0 + seconds, usegmt=True), 1000.0).health is health


def test_an_answer_without_a_date_is_no_failure() -> None:
    assert clock(None, 1000.0).health is Health.WARNING

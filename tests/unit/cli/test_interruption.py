"""Real signals to a real process: the run is cancelled, the stack is stopped, 130 is the code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from glovebox_cli.safe_text import lines_of

from tests.unit.cli.fake_api import RUN_ID, FakeApi, a_test, attempt, report_of

CODE = "from glovebox_cli.main import main; main()"
COMMAND = [sys.executable, "-c", CODE]

FAKE_STACK = """
import json, os, pathlib, time
from dataclasses import dataclass
from glovebox_local.endpoints import Endpoints

class LocalStack:
    def __init__(self, **settings):
        self.settings = settings
    def start(self):
        pathlib.Path(os.environ["TRACE"]).write_text("starting")
        time.sleep(float(os.environ.get("START_SECONDS", "0")))
        if "BROKEN" in os.environ:
            raise RuntimeError("no bubblewrap \\x1b[31mhere")
        pathlib.Path(os.environ["TRACE"]).write_text("started")
        return Endpoints(api_url=os.environ["FAKE_API"])
    def stop(self):
        time.sleep(float(os.environ.get("STOP_SECONDS", "0")))
        pathlib.Path(os.environ["TRACE"]).write_text("stopped")
"""
FAKE_ENDPOINTS = """
import json
from dataclasses import dataclass, asdict

@dataclass
class Endpoints:
    api_url: str
    aws_endpoint_url: str = "http://127.0.0.1:1"
    isolation: str = "full"
    started_at: str = "2026"
    def to_json(self):
        return json.dumps(asdict(self), indent=2)

def find_running_stacks():
    return []
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(api: FakeApi, project: Path, tmp_path: Path) -> Iterator[Start]:
    """Start `glovebox` as a process of its own, beside a package that plays the stack."""
    package = tmp_path / "fakes/glovebox_local"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "stack.py").write_text(FAKE_STACK)
    (package / "endpoints.py").write_text(FAKE_ENDPOINTS)
    processes: list[subprocess.Popen[bytes]] = []

    def run(*args: str, before: str = "", **env: str) -> subprocess.Popen[bytes]:
        surroundings = os.environ | env
        surroundings |= {
            "PYTHONPATH": str(package.parent),
            "TRACE": str(tmp_path / "trace"),
            "FAKE_API": api.url,
        }
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", before + CODE, *args]
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, env=surroundings)
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def begin(api: FakeApi) -> None:
    """A run with one test under way."""
    api.run |= {"state": "running", "total": 2}
    api.attempts = [attempt("a"), attempt("b", None)]


def cancelled(api: FakeApi) -> None:
    tests = [a_test("a"), a_test("b", "cancelled")]
    api.finish(report_of(*tests, conclusion="cancelled"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_cancels_the_run_and_waits_for_its_end(
    api: FakeApi, start: Start, number: int
) -> None:
    begin(api)
    api.on_cancel = cancelled
    process = start("run", "--api", api.url)
    wait_for(lambda: api.looks >= 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert f"/runs/{RUN_ID}/cancel" in api.paths("POST")
    assert b"cancelling" in err
    assert b"CANCELLED  1 passed, 1 cancelled" in out
    assert b"Traceback" not in err


def test_leaving_a_run_that_is_watched_does_not_cancel_it(api: FakeApi, start: Start) -> None:
    begin(api)
    process = start("watch", RUN_ID, "--api", api.url)
    wait_for(lambda: api.looks >= 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert api.paths("POST") == []
    assert b"Traceback" not in err


def test_the_wait_for_the_end_is_bounded(api: FakeApi, start: Start) -> None:
    begin(api)
    shorter = "from glovebox_cli import follow; follow.FAREWELL_SECONDS = 1.5\n"
    process = start("run", "--api", api.url, "-o", "jsonl", before=shorter)
    wait_for(lambda: api.looks >= 2)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert 1 < time.monotonic() - began < 8
    assert process.returncode == 130
    assert b"Left before the run ended: 1/2" in err
    last = json.loads(out.splitlines()[-1])
    assert (last["exit_code"], last["conclusion"]) == (130, None)


def test_the_second_signal_leaves_at_once_and_still_stops_the_stack(
    api: FakeApi, start: Start, tmp_path: Path
) -> None:
    begin(api)
    process = start("run", "--local", STOP_SECONDS="0.5")
    wait_for(lambda: api.looks >= 2)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: f"/runs/{RUN_ID}/cancel" in api.paths("POST"))
    began = time.monotonic()
    for _ in range(3):  # an impatient user does not get to leave the stack behind
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert (tmp_path / "trace").read_text() == "stopped"
    assert b"Traceback" not in err


def test_a_signal_while_the_stack_starts_stops_it(start: Start, tmp_path: Path) -> None:
    process = start("run", "--local", START_SECONDS="30")
    wait_for((tmp_path / "trace").exists)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (tmp_path / "trace").read_text() == "stopped"
    assert b"Traceback" not in err


def test_a_stack_of_its_own_is_stopped_after_the_run(
    api: FakeApi, start: Start, tmp_path: Path
) -> None:
    api.finish(report_of(a_test("t", "failed"), conclusion="failed"))
    process = start("run", "--local")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert (tmp_path / "trace").read_text() == "stopped"
    assert b"isolation: full" in err
    assert b"run it again:    glovebox run --local" in out
    assert b"show this again" not in out, "the stack that knew the run is gone"


def test_a_stack_that_does_not_start_is_infrastructure(start: Start, tmp_path: Path) -> None:
    process = start("run", "--local", BROKEN="1")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert b"the embedded stack did not start: no bubblewrap \\x1b[31mhere" in err
    assert (tmp_path / "trace").read_text() == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_local_up_tells_every_endpoint_and_stops_clean(
    api: FakeApi, start: Start, tmp_path: Path, number: int
) -> None:
    process = start("local", "up", "-o", "json", "--name", "mine")
    assert process.stdout is not None
    endpoints = json.loads(process.stdout.readline())
    assert endpoints["api_url"] == api.url
    assert endpoints["isolation"] == "full"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert (tmp_path / "trace").read_text() == "stopped"
    assert b"Traceback" not in err


def test_local_up_as_text(start: Start, api: FakeApi) -> None:
    process = start("local", "up")
    assert process.stdout is not None
    assert process.stdout.readline().split() == [b"api_url", api.url.encode()]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize("output", ["table", "json", "jsonl", "junit"])
def test_a_reader_that_has_gone_changes_nothing_but_the_output(
    api: FakeApi, start: Start, output: str
) -> None:
    tests = [a_test(f"t{n}" * 50, "failed") for n in range(50)]
    api.finish(report_of(*tests, conclusion="failed"))
    process = start("run", "--api", api.url, "-o", output)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(timeout=20) == 1
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


def test_on_a_terminal_the_running_tests_are_drawn_below_and_removed_at_the_end(
    api: FakeApi, project: Path
) -> None:
    begin(api)
    master, terminal = pty.openpty()
    env = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    env.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [*COMMAND, "run", "--api", api.url], stdout=subprocess.DEVNULL, stderr=terminal, env=env
    )
    os.close(terminal)
    wait_for(lambda: api.looks >= 5)
    api.finish(report_of(a_test("a"), a_test("b")))
    drawn = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # how Linux says that the other side of a pty is closed
            break
        if not chunk:
            break
        drawn += chunk
    os.close(master)
    assert process.wait(timeout=20) == 0
    assert b"RUNNING" in drawn
    assert b"1/2" in drawn
    assert b"1 running" in drawn
    assert b"\x1b[2K" in drawn, "the footer is erased"
    assert drawn.rindex(b"running") < drawn.rindex(b"\x1b[2K")
    plain = "\n".join(lines_of(drawn.decode()))
    assert plain.index("PASS [  0.021s] unit a") < plain.index("PASS [  0.021s] unit b")

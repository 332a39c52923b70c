"""Background code and commands: listed, looked at, and killed for real."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.sandbox.client import Answer, Box, Client, eventually

Kill = Callable[[Box, str], Answer]

KILLS: dict[str, Kill] = {
    "DELETE /execute/kill": lambda box, id: box.ask("DELETE", f"/execute/kill?process_id={id}"),
    "POST /execute/kill/{}": lambda box, id: box.ask("POST", f"/execute/kill/{id}"),
    "POST /processes/{}/kill": lambda box, id: box.ask("POST", f"/processes/{id}/kill"),
}


def start_code(box: Box, code: str, **given: Any) -> str:
    answer = box.ask("POST", "/execute/background", {"code": code, **given})
    assert answer.status == 200, answer.raw
    process_id: str = answer.body["process_id"]
    return process_id


def start_command(box: Box, line: str, **given: Any) -> str:
    body = {"command": "bash", "args": ["-c", line], **given}
    answer = box.ask("POST", "/commands/background", body)
    assert answer.status == 200, answer.raw
    process_id: str = answer.body["process_id"]
    return process_id


def look(box: Box, process_id: str) -> dict[str, Any]:
    answer = box.ask("GET", f"/execute/processes/{process_id}")
    assert answer.status == 200, answer.raw
    body: dict[str, Any] = answer.body
    return body


def ended(box: Box, process_id: str) -> dict[str, Any]:
    assert eventually(lambda: look(box, process_id)["status"] != "running")
    return look(box, process_id)


def alive(box: Box, pattern: str) -> bool:
    return bool(box.command(f"pgrep -f '[{pattern[0]}]{pattern[1:]}'").body["exit_code"] == 0)


def test_background_code_runs_ends_and_shows_what_it_printed(box: Box) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    process_id = start_code(box, code, name="mine")
    assert process_id.startswith("bg_")
    record = ended(box, process_id)
    assert (record["status"], record["exit_code"], record["name"]) == ("failed", 3, "mine")
    assert (record["stdout"], record["stderr"]) == ("out\n", "err\n")
    assert record["start_time"] <= record["end_time"]
    assert record["language"] == "python"


@pytest.mark.parametrize(
    ("language", "code"),
    [("bash", "echo $A; exit 0"), ("javascript", "console.log(process.env.A)")],
)
def test_other_languages_run_in_the_background_too(box: Box, language: str, code: str) -> None:
    record = ended(box, start_code(box, code, language=language, env={"A": "value"}))
    assert (record["status"], record["stdout"]) == ("completed", "value\n")


def test_background_code_is_no_part_of_the_session(box: Box) -> None:
    box.ask("POST", "/execute", {"code": "x = 1"})
    record = ended(box, start_code(box, "print('x' in globals())"))
    assert record["stdout"] == "False\n"


def test_a_commands_output_is_kept_and_bounded(box: Box) -> None:
    process_id = start_command(box, "echo first; head -c 50000000 /dev/zero; echo last >&2")
    record = ended(box, process_id)
    assert record["stdout"].startswith("first\n")
    assert len(record["stdout"]) < 200_000
    assert record["stdout_dropped_bytes"] > 49_000_000
    assert record["stderr"] == "last\n"


def test_code_and_commands_are_listed_alike(box: Box) -> None:
    ids = {start_code(box, "import time; time.sleep(60)"), start_command(box, "sleep 60")}
    listed = box.ask("GET", "/execute/processes").body
    assert {record["process_id"] for record in listed["processes"]} == ids
    assert {record["status"] for record in listed["processes"]} == {"running"}
    assert listed["count"] == 2


def test_every_process_is_in_the_systems_list_and_ours_with_what_we_know(box: Box) -> None:
    process_id = start_command(box, "sleep 993 & wait")
    gone = start_command(box, "exit 3")
    ended(box, gone)
    assert eventually(lambda: alive(box, "sleep 993"))
    processes = box.ask("GET", "/processes").body["processes"]
    by_command = {process["command"]: process for process in processes}
    sleeper = by_command["sleep 993"]
    assert (sleeper["name"], sleeper["status"]) == ("sleep", "sleeping")
    assert sleeper["memory_mb"] > 0
    assert {"pid", "cpu_percent"} <= set(sleeper)
    known = {process["process_id"]: process for process in processes}
    assert known[process_id]["pid"] == sleeper["ppid"]
    assert (known[gone]["status"], known[gone]["exit_code"]) == ("failed", 3)
    assert known["1"]["name"] == "cat"


def test_a_process_list_shows_nothing_of_the_host_or_of_others(client: Client, box: Box) -> None:
    other = client.create()
    start_command(other, "sleep 994")
    commands = {process["command"] for process in box.ask("GET", "/processes").body["processes"]}
    assert commands == {"/usr/bin/cat"}
    other.kill()


@pytest.mark.parametrize("spelling", KILLS)
@pytest.mark.parametrize("kind", ["code", "command"])
def test_a_kill_ends_all_that_was_started(box: Box, spelling: str, kind: str) -> None:
    # One child in a process group of its own, one that ignores every signal that can be ignored.
    line = "set -m; sleep 995 & set +m; (trap '' HUP INT TERM; sleep 995; sleep 995) & sleep 995"
    if kind == "code":
        process_id = start_code(box, f"import subprocess\nsubprocess.run(['bash', '-c', {line!r}])")
    else:
        process_id = start_command(box, line)
    assert eventually(lambda: box.shell("pgrep -c sleep") == "3")
    answer = KILLS[spelling](box, process_id)
    assert (answer.status, answer.body["status"]) == (200, "killed")
    assert not alive(box, "sleep 995")
    assert look(box, process_id)["status"] == "killed"
    again = KILLS[spelling](box, process_id)
    assert (again.status, again.body["message"]) == (200, "it had ended already")


@pytest.mark.parametrize("spelling", KILLS)
def test_a_process_of_another_sandbox_is_unknown_and_lives_on(
    client: Client, box: Box, spelling: str
) -> None:
    other = client.create()
    process_id = start_command(other, "sleep 996")
    answer = KILLS[spelling](box, process_id)
    assert (answer.status, answer.body["code"]) == (404, "PROCESS_NOT_FOUND")
    assert look(other, process_id)["status"] == "running"
    other.kill()


@pytest.mark.parametrize("unknown", ["bg_1", "nothing", "999999", "99999999999999999999", "-1"])
def test_what_is_not_there_is_not_killed(box: Box, unknown: str) -> None:
    for kill in KILLS.values():
        assert kill(box, unknown).status == 404


def test_any_process_is_killed_by_its_number_but_the_one_that_keeps_the_sandbox(box: Box) -> None:
    start_command(box, "setsid sleep 997 & wait")
    assert eventually(lambda: alive(box, "sleep 997"))
    processes = box.ask("GET", "/processes").body["processes"]
    number = next(p["process_id"] for p in processes if p["command"] == "sleep 997")
    assert KILLS["POST /processes/{}/kill"](box, number).status == 200
    assert not alive(box, "sleep 997")
    assert KILLS["POST /processes/{}/kill"](box, "1").status == 400
    assert box.shell("echo alive") == "alive"


def test_a_kill_works_when_the_sandbox_may_have_no_further_process(box: Box) -> None:
    # It takes every place that becomes free, also those of the looks below.
    code = """
import os, time
while True:
    try:
        if not os.fork(): time.sleep(99)
    except OSError:
        time.sleep(0.02)
"""
    process_id = start_code(box, code)
    assert eventually(lambda: box.ask("POST", "/commands/run", {"command": "true"}).status == 409)
    assert len(box.ask("GET", "/processes").body["processes"]) > 30
    assert box.ask("POST", f"/execute/kill/{process_id}").status == 200
    assert box.shell("echo alive") == "alive"


def test_a_background_process_is_killed_at_its_time(box: Box) -> None:
    line = "set -m; sleep 998 & sleep 998"
    record = ended(box, start_code(box, line, language="bash", timeout=0.3))
    assert (record["status"], record["timed_out"]) == ("killed", True)
    assert eventually(lambda: not alive(box, "sleep 998"))


def test_records_are_bounded_and_the_oldest_that_ended_makes_room(box: Box) -> None:
    first = start_command(box, "true")
    ended(box, first)
    for _ in range(256):
        last = start_command(box, "true")
    listed = box.ask("GET", "/execute/processes").body
    assert listed["count"] == 256
    assert box.ask("GET", f"/execute/processes/{first}").status == 404
    assert ended(box, last)["status"] == "completed"


@pytest.mark.parametrize("path", ["/execute/background", "/execute/async"])
@pytest.mark.parametrize(
    "body", [{}, {"code": ""}, {"code": "1", "language": "go"}, {"code": "1", "timeout": "1"}]
)
def test_wrong_background_code_is_refused(shared: Box, path: str, body: dict[str, Any]) -> None:
    body = {"callback_url": "http://127.0.0.1/"} | body
    assert shared.ask("POST", path, body).status == 400
    assert shared.ask("GET", "/execute/processes").body["count"] == 0

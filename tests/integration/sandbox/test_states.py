"""Pause and resume, stop and start: what moves a sandbox, and what holds in each state."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess
from hopx_ai import Sandbox
from hopx_ai.errors import AgentError, HopxError

from tests.integration.sandbox.client import API_KEY, SMALL, Answer, Box, Client, eventually
from tests.integration.sandbox.lesser import OfAnOrdinaryUser, WithoutGroups

COUNTING = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.01; done"


@pytest.fixture(
    scope="module",
    params=[
        "as found",
        pytest.param("without groups", marks=pytest.mark.needs_root),
        pytest.param("ordinary user", marks=pytest.mark.needs_root),
    ],
)
def either(request: pytest.FixtureRequest, server: SandboxServerProcess) -> Iterator[Client]:
    """A service with the machine's own level, and two that have to do with less."""
    if request.param == "as found":
        yield Client(server.url)
        return
    if os.geteuid() != 0:
        pytest.skip("needs root: to give up rights, one must have them")
    with WithoutGroups() if request.param == "without groups" else OfAnOrdinaryUser() as lesser:
        assert lesser.isolation == "no-cgroup"
        yield Client(lesser.url)


@pytest.fixture
def held(either: Client) -> Iterator[Box]:
    box = either.create()
    yield box
    box.kill()


def move(box: Box, word: str) -> Answer:
    return box.client.ask("POST", f"/v1/sandboxes/{box.id}/{word}")


def state(box: Box) -> str:
    return str(box.client.ask("GET", f"/v1/sandboxes/{box.id}").body["status"])


def start_counting(box: Box) -> None:
    body = {"command": "bash", "args": ["-c", COUNTING]}
    assert box.ask("POST", "/commands/background", body).status == 200
    assert eventually(lambda: box.shell("cat /tmp/count 2>/dev/null") != "")


def belongs_to(process: psutil.Process, box: Box) -> bool:
    """Whether this is one of the box's processes that were started after ``mark``."""
    try:
        return process.environ().get("WHOSE") == box.id
    except psutil.Error:
        return False


def processor_seconds(box: Box) -> float:
    """What the processes of a box have used up to now."""
    used = 0.0
    for process in psutil.process_iter():
        if belongs_to(process, box):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def mark(box: Box) -> None:
    """Have every later process of the box carry its id, to be known from outside."""
    assert box.ask("PATCH", "/env", {"env_vars": {"WHOSE": box.id}}).status == 200


def test_paused_processes_stand_still_and_go_on_where_they_were(held: Box) -> None:
    start_counting(held)
    assert move(held, "pause").body["status"] == "paused"
    assert state(held) == "paused"
    assert move(held, "resume").body["status"] == "running"
    first = int(held.shell("cat /tmp/count"))
    assert first > 0
    assert eventually(lambda: int(held.shell("cat /tmp/count") or "0") > first)


@pytest.mark.needs_root
def test_a_paused_spinner_uses_no_processor(held: Box) -> None:
    mark(held)
    spin = {"command": "bash", "args": ["-c", "(while :; do :; done) & while :; do :; done"]}
    held.ask("POST", "/commands/background", spin)
    assert eventually(lambda: processor_seconds(held) > 0.05)
    move(held, "pause")
    before = processor_seconds(held)
    threading.Event().wait(0.5)
    assert processor_seconds(held) - before < 0.05
    move(held, "resume")
    assert eventually(lambda: processor_seconds(held) > before + 0.05)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/env"), ("GET", "/files/list"), ("POST", "/commands/run"), ("GET", "/health")],
)
@pytest.mark.parametrize(
    ("word", "back", "code"),
    [("pause", "resume", "SANDBOX_PAUSED"), ("stop", "start", "SANDBOX_STOPPED")],
)
def test_the_agent_says_that_nobody_is_in(
    held: Box, method: str, path: str, word: str, back: str, code: str
) -> None:
    body = {"command": "true"} if method == "POST" else None
    move(held, word)
    answer = held.ask(method, path, body)
    assert (answer.status, answer.body["code"]) == (409, code)
    move(held, back)
    assert held.ask(method, path, body).status == 200


def test_a_command_under_way_is_held_and_then_ends_well(held: Box) -> None:
    answers: list[Answer] = []
    line = "touch /tmp/began; sleep 0.2; echo done"
    asking = threading.Thread(target=lambda: answers.append(held.command(line)))
    asking.start()
    assert eventually(lambda: held.file("exists", "/tmp/began").body["exists"])
    move(held, "pause")
    asking.join(0.6)
    assert asking.is_alive()
    move(held, "resume")
    asking.join(20)
    assert (answers[0].body["stdout"], answers[0].body["exit_code"]) == ("done\n", 0)


def test_a_stopped_sandbox_keeps_files_and_variables_and_loses_processes(held: Box) -> None:
    held.ask("PATCH", "/env", {"env_vars": {"KEPT": "yes"}})
    start_counting(held)
    held.command("(setsid sleep 61 >/dev/null 2>&1 &); echo here > /workspace/kept")
    assert move(held, "stop").body["status"] == "stopped"
    assert move(held, "start").body["status"] == "running"
    assert held.shell("cat /workspace/kept; echo $KEPT") == "here\nyes"
    assert held.shell("pgrep -c 'sleep|bash' ; ls /tmp/count").split() == ["1", "/tmp/count"]


def test_a_command_under_way_ends_when_its_sandbox_is_stopped(held: Box) -> None:
    answers: list[Answer] = []
    line = "touch /tmp/began; sleep 60"
    asking = threading.Thread(target=lambda: answers.append(held.command(line)))
    asking.start()
    assert eventually(lambda: held.file("exists", "/tmp/began").body["exists"])
    move(held, "stop")
    asking.join(20)
    assert answers[0].body["exit_code"] == 137
    assert answers[0].body["oom_killed"] is False


def test_a_fork_bomb_is_stopped(held: Box) -> None:
    bomb = {"command": "bash", "args": ["-c", "f() { f | f & }; f; sleep 60"]}
    held.ask("POST", "/commands/background", bomb)
    assert move(held, "stop").status == 200
    assert move(held, "start").status == 200
    assert held.shell("pgrep -c . ; echo alive").split()[-1] == "alive"
    assert held.shell("pgrep -fc 'f . f' || true").splitlines()[0] in ("0", "1")


@pytest.mark.parametrize(
    ("path", "word", "status"),
    [
        ((), "resume", 200),
        ((), "start", 200),
        (("pause",), "pause", 200),
        (("stop",), "stop", 200),
        (("pause",), "stop", 200),
        (("stop",), "pause", 409),
        (("stop",), "resume", 409),
        (("pause",), "start", 409),
    ],
)
def test_moves_that_lead_nowhere_are_refused_and_repeated_ones_are_done(
    held: Box, path: tuple[str, ...], word: str, status: int
) -> None:
    for step in path:
        assert move(held, step).status == 200
    before = state(held)
    answer = move(held, word)
    assert answer.status == status
    if status == 409:
        assert answer.body["error"]["code"] == "INVALID_STATE"
        assert state(held) == before


@pytest.mark.parametrize("word", ["pause", "resume", "start", "stop"])
def test_a_sandbox_that_is_not_there_cannot_be_moved(either: Client, word: str) -> None:
    assert either.ask("POST", f"/v1/sandboxes/none/{word}").status == 404


def test_lists_are_filtered_by_state(either: Client, held: Box) -> None:
    def listed(wanted: str) -> set[str]:
        answer = either.ask("GET", f"/v1/sandboxes?status={wanted}").body
        return {sandbox["id"] for sandbox in answer["data"]}

    assert held.id in listed("running")
    for word, wanted in (("pause", "paused"), ("stop", "stopped"), ("start", "running")):
        move(held, word)
        others = {"running", "paused", "stopped", "creating"} - {wanted}
        assert held.id in listed(wanted)
        assert not any(held.id in listed(other) for other in others)


@pytest.mark.parametrize("word", ["pause", "stop"])
def test_a_sandbox_in_any_state_can_be_killed_and_leaves_nothing(either: Client, word: str) -> None:
    box = either.create()
    mark(box)
    box.command("setsid sleep 62 >/dev/null 2>&1 & sleep 63 >/dev/null 2>&1 &")
    assert move(box, word).status == 200
    assert box.kill().status == 200
    assert box.kill().status == 404
    assert not any(belongs_to(process, box) for process in psutil.process_iter())


@pytest.mark.parametrize("word", ["pause", "stop"])
def test_time_goes_on_in_every_state(either: Client, word: str) -> None:
    box = either.create(timeout_seconds=1)
    mark(box)
    box.command("setsid sleep 64 >/dev/null 2>&1 &")
    move(box, word)
    gone = f"/v1/sandboxes/{box.id}"
    assert eventually(lambda: either.ask("GET", gone).status == 404)
    assert eventually(lambda: not any(belongs_to(p, box) for p in psutil.process_iter()))


@pytest.mark.parametrize("word", ["pause", "stop"])
def test_time_and_tokens_can_be_renewed_in_every_state(held: Box, word: str) -> None:
    move(held, word)
    where = f"/v1/sandboxes/{held.id}"
    assert held.client.ask("PUT", f"{where}/timeout", {"timeout_seconds": 90}).status == 200
    token = held.client.ask("POST", f"{where}/token/refresh").body["auth_token"]
    move(held, "resume" if word == "pause" else "start")
    assert Box(held.client, held.id, held.url, token).shell("echo in") == "in"


def test_many_moves_at_once_end_in_one_of_their_states(held: Box) -> None:
    start_counting(held)
    words = ["pause", "resume", "stop", "start"] * 5
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda word=word: answers.append(move(held, word)))
        for word in words
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} <= {200, 409}
    move(held, "resume")
    move(held, "start")
    assert state(held) == "running"
    assert held.shell("echo alive") == "alive"


def test_the_sdk_pauses_resumes_and_connects(server: SandboxServerProcess) -> None:
    sandbox = Sandbox.create(template="base", api_key=API_KEY, base_url=server.url)
    try:
        sandbox.commands.run("echo kept > /tmp/kept")
        sandbox.pause()
        assert sandbox.get_info().status == "paused"
        with pytest.raises(AgentError) as paused:
            sandbox.commands.run("true")
        assert (paused.value.status_code, paused.value.code) == (409, "SANDBOX_PAUSED")
        again = Sandbox.connect(sandbox.sandbox_id, api_key=API_KEY, base_url=server.url)
        assert again.commands.run("cat /tmp/kept").stdout == "kept\n"
        Client(server.url).ask("POST", f"/v1/sandboxes/{sandbox.sandbox_id}/stop")
        with pytest.raises(HopxError, match="stopped"):
            Sandbox.connect(sandbox.sandbox_id, api_key=API_KEY, base_url=server.url)
    finally:
        sandbox.kill()


@pytest.mark.parametrize("options", [(), ("--max-sandboxes", "3")])
def test_a_service_stops_clean_with_paused_sandboxes(options: tuple[str, ...]) -> None:
    service = SandboxServerProcess(API_KEY, options=(*SMALL, *options))
    service.start()
    box = Client(service.url).create()
    box.command("setsid sleep 65 >/dev/null 2>&1 &")
    move(box, "pause")
    members = psutil.Process(service.pid).children(recursive=True)
    assert service.stop() == 0
    assert psutil.wait_procs(members, timeout=5)[1] == []

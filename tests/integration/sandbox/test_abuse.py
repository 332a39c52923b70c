"""Abuse beside innocents: abusers are stopped with a reason, and innocents hardly notice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, SMALL, Answer, Box, Client, eventually

# Half of the machine for one: four spinners want four times as much.
LIMITS = (*SMALL, "--cpus", "1")

# A second of life with a little work in it, as of a test that waits for something now and then.
HONEST = """
import time
done = 0
for _ in range(50):
    done += sum(range(20_000)) > 0
    time.sleep(0.018)
open("/workspace/result", "w").write(str(done))
print(done)
"""
SPINNERS = """
import multiprocessing
def spin():
    while True:
        pass
for _ in range(4):
    multiprocessing.Process(target=spin).start()
"""
BOMB = """
import os, signal
try:
    while True:
        if not os.fork():
            signal.pause()
except OSError as error:
    raise SystemExit(7)
"""
ALLOCATION = "import sys; kept = bytearray(1 << 30); sys.exit(len(kept) % 7)"
FILLER = """
for number in range(1000):
    with open(f"/workspace/{number}", "wb") as file:
        file.write(b"x" * (1 << 20))
"""


@pytest.fixture
def client() -> Iterator[Client]:
    with SandboxServerProcess(API_KEY, options=LIMITS) as server:
        yield Client(server.url)


def python(box: Box, code: str, timeout: float = 60) -> Answer:
    body = {"command": "python", "args": ["-c", code], "timeout": timeout}
    return box.ask("POST", "/commands/run", body)


def innocent(box: Box) -> float:
    """The seconds that an honest second takes."""
    began = time.monotonic()
    answer = python(box, HONEST)
    took = time.monotonic() - began
    assert (answer.body["stdout"], answer.body["exit_code"]) == ("50\n", 0)
    assert (answer.body["reason"], answer.body["limits_hit"]) == (None, [])
    return took


@pytest.mark.needs_root
def test_abusers_end_with_a_reason_and_innocents_in_three_times_their_time(
    client: Client,
) -> None:
    innocents = [client.create() for _ in range(8)]
    abusers = {word: client.create() for word in ("pids", "oom", "disk", "timeout")}
    programs = {"pids": BOMB, "oom": ALLOCATION, "disk": FILLER, "timeout": SPINNERS}
    ended: dict[str, Future[Answer]] = {}
    with ThreadPoolExecutor(12) as threads:
        alone = max(threads.map(innocent, innocents))
        for word, box in abusers.items():
            patience = 4 if word == "timeout" else 60
            ended[word] = threads.submit(python, box, programs[word], patience)
        beside = max(threads.map(innocent, innocents))
    assert beside <= 3 * alone, (beside, alone)
    reasons = {
        word: future.result().body.get("reason")
        for word, future in ended.items()
        if future.result().status == 200
    }
    assert reasons == {"pids": "pids", "oom": "oom", "disk": "disk"}
    late = ended["timeout"].result()
    assert (late.status, late.body["details"]["reason"]) == (408, "timeout")
    for word, box in abusers.items():
        known = client.ask("GET", f"/v1/sandboxes/{box.id}").body["limits_hit"]
        assert known == ([] if word == "timeout" else [word])
        assert box.kill().status == 200
    for box in innocents:
        assert client.ask("GET", f"/v1/sandboxes/{box.id}").body["limits_hit"] == []
        assert box.shell("cat /workspace/result") == "50"


@pytest.mark.needs_root
def test_a_bomb_in_the_background_is_told_of_its_sandbox(client: Client) -> None:
    box = client.create()
    bomb = {"command": "bash", "args": ["-c", "f() { f | f & }; f; sleep 30"]}
    assert box.ask("POST", "/commands/background", bomb).status == 200
    where = f"/v1/sandboxes/{box.id}"
    assert eventually(lambda: client.ask("GET", where).body["limits_hit"] == ["pids"])
    assert innocent(client.create()) < 30
    assert box.kill().status == 200


@pytest.mark.needs_root
def test_an_exit_by_choice_is_no_want_of_memory_even_after_one(client: Client) -> None:
    box = client.create()
    # The shell outlives its child: the command succeeds, and the want of memory goes unreported.
    survived = box.command(f"python -c '{ALLOCATION}'; exit 0").body
    assert (survived["exit_code"], survived["reason"]) == (0, None)
    for line in ("exit 137", "kill -9 $$", "exit 1"):
        answer = box.command(line).body
        assert (answer["reason"], answer["oom_killed"]) == (None, False), line
    killed = box.command(f"python -c '{ALLOCATION}'").body
    assert (killed["exit_code"], killed["reason"], killed["oom_killed"]) == (137, "oom", True)
    # A runner that reports its child's death with a code of its own still tells why.
    told = box.command(f"python -c '{ALLOCATION}' || exit 3").body
    assert (told["exit_code"], told["reason"], told["oom_killed"]) == (3, "oom", False)


@pytest.mark.needs_root
def test_an_earlier_background_commands_end_is_not_a_later_failures_reason(client: Client) -> None:
    box = client.create()
    line = f"python -c '{ALLOCATION}'; touch /tmp/over; sleep 60"
    body = {"command": "bash", "args": ["-c", line]}
    assert box.ask("POST", "/commands/background", body).status == 200
    assert eventually(lambda: box.file("exists", "/tmp/over").body["exists"])
    assert box.command("exit 3").body["reason"] is None
    assert client.ask("GET", f"/v1/sandboxes/{box.id}").body["limits_hit"] == ["oom"]


@pytest.mark.needs_root
def test_an_earlier_bomb_is_not_a_later_failures_reason(client: Client) -> None:
    box = client.create()
    assert python(box, BOMB).body["reason"] == "pids"
    box.command("pkill -9 python")
    assert box.command("exit 4").body["reason"] is None


@pytest.mark.parametrize("folder", ["/workspace", "/tmp"])
def test_a_full_disk_is_the_reason_until_there_is_room_again(client: Client, folder: str) -> None:
    box = client.create()
    answer = box.command(f"head -c 200000000 /dev/zero > {folder}/x").body
    # /workspace's size is the largest file's too: the signal says that before the disk is full.
    assert (answer["exit_code"] != 0, answer["reason"]) == (True, "disk")
    assert box.command(f"rm {folder}/x; exit 5").body["reason"] is None


def test_a_command_that_fails_by_itself_has_no_reason(client: Client) -> None:
    box = client.create()
    assert box.command("exit 9").body["reason"] is None
    assert client.ask("GET", f"/v1/sandboxes/{box.id}").body["limits_hit"] == []


@pytest.mark.parametrize(("how", "reason"), [("expire", "expired"), ("kill", "killed")])
def test_a_command_whose_sandbox_ends_is_told_why(client: Client, how: str, reason: str) -> None:
    box = client.create()
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(box.command, "touch /tmp/began; sleep 60")
        assert eventually(lambda: box.file("exists", "/tmp/began").body["exists"])
        if how == "expire":
            client.ask("PUT", f"/v1/sandboxes/{box.id}/timeout", {"timeout_seconds": 1})
        else:
            box.kill()
        gone = answer.result().body
    assert (gone["code"], gone["details"]["reason"]) == ("SANDBOX_GONE", reason)

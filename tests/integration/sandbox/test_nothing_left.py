"""After many sandboxes, however they ended: no process, mount, group, file, descriptor more."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, SMALL, Client, eventually
from tests.integration.sandbox.traces import (
    Traces,
    family,
    files_of,
    groups_of,
    mounted,
    traces,
)

AT_ONCE = 8


@pytest.fixture
def own() -> Iterator[SandboxServerProcess]:
    """A server that nobody else uses: every trace of it is the test's."""
    with SandboxServerProcess(API_KEY, options=SMALL) as process:
        yield process


def use(client: Client, number: int) -> bool:
    """A sandbox's life: a file, a command, what the command left running; paused now and then."""
    box = client.create()
    box.write("/workspace/x", str(number))
    answer = box.command("setsid sleep 55 >/dev/null 2>&1 & cat /workspace/x")
    if number % 3 == 0:
        # A failure makes the service look into counters of the sandbox.
        box.command("exit 1")
    if number % 10 == 0:
        client.ask("POST", f"/v1/sandboxes/{box.id}/pause")
    killed = box.kill().status
    return (answer.body["stdout"], killed) == (str(number), 200)


def at_rest(server: SandboxServerProcess) -> Traces:
    """The traces once the sandboxes that stand ready do."""
    use(Client(server.url), 1)
    last = [traces(server)]

    def settled() -> bool:
        threading.Event().wait(0.2)
        last.append(traces(server))
        return last[-1] == last[-2]

    assert eventually(settled)
    return last[-1]


def test_a_server_has_nothing_on_disk_that_a_kill_could_leave(own: SandboxServerProcess) -> None:
    at_rest(own)
    assert files_of(own.pid) == set()
    assert files_of(own.spawner_pid) == set()


@pytest.mark.slow
def test_five_hundred_sandboxes_leave_nothing(own: SandboxServerProcess) -> None:
    before = at_rest(own)
    client = Client(own.url)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert all(threads.map(lambda number: use(client, number), range(500)))
    assert eventually(lambda: not traces(own).exceeds(before)), (before, traces(own))
    assert client.ask("GET", "/v1/sandboxes").body["data"] == []


def test_fifty_that_expired_leave_nothing(own: SandboxServerProcess) -> None:
    before = at_rest(own)
    client = Client(own.url)

    def begin(number: int) -> str:
        box = client.create(timeout_seconds=60)
        box.command("setsid sleep 55 >/dev/null 2>&1 & head -c 1000000 /dev/zero > /workspace/x")
        box.command("exit 1")
        if number % 3:
            client.ask("POST", f"/v1/sandboxes/{box.id}/{('pause', 'stop')[number % 2]}")
        # Counted from now: all of them live at once before the first one ends.
        path = f"/v1/sandboxes/{box.id}/timeout"
        assert client.ask("PUT", path, {"timeout_seconds": 3}).status == 200
        return box.id

    with ThreadPoolExecutor(AT_ONCE) as threads:
        made = list(threads.map(begin, range(50)))
    assert len(set(made)) == 50
    assert traces(own).exceeds(before)
    # Whatever fifty sandboxes hold is in memory.
    assert files_of(own.spawner_pid) == set()
    assert eventually(lambda: client.ask("GET", "/v1/sandboxes").body["data"] == [])
    assert eventually(lambda: not traces(own).exceeds(before)), (before, traces(own))


def test_a_server_killed_in_the_middle_leaves_nothing_and_the_next_one_less() -> None:
    mounts = mounted("self")
    server = SandboxServerProcess(API_KEY, options=SMALL)
    server.start()
    client = Client(server.url)
    stop = threading.Event()
    used = []

    def keep_using(number: int) -> None:
        while not stop.is_set():
            try:
                used.append(use(client, number))
            except (OSError, HTTPException, AssertionError, ValueError, LookupError):
                return  # the server has gone under it

    threads = [threading.Thread(target=keep_using, args=(n,)) for n in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(used) >= 2 * AT_ONCE)
    members = family(server.pid)
    assert len(members) > AT_ONCE
    os.kill(server.pid, signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join(30)
    server.stop()
    assert psutil.wait_procs(members, timeout=10)[1] == []
    assert eventually(lambda: groups_of(server.pid) == [])
    # Those made after the look at the family are the spawner's too, and gone with it.
    assert mounted("self") == mounts
    with SandboxServerProcess(API_KEY, options=SMALL) as following:
        assert groups_of(server.pid) == []
        assert use(Client(following.url), 7)
    assert groups_of(following.pid) == []

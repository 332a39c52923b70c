"""A keeper outlives its sandbox where that ended well, and nothing of it goes over to the next."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, SMALL, Box, Client, eventually
from tests.integration.sandbox.traces import family

pytestmark = pytest.mark.needs_root
# Two stand ready beforehand; a keeper that is free is asked before another one is forked.
CREATES = 8
FORKS = """
import os, time
try:
    while os.fork():
        pass
    time.sleep(50)
except OSError:
    pass
"""


@pytest.fixture
def own() -> Iterator[SandboxServerProcess]:
    with SandboxServerProcess(API_KEY, options=SMALL) as server:
        yield server


def keeper_of(server: SandboxServerProcess, box: Box) -> psutil.Process:
    """The process that makes and holds a sandbox."""
    # A time to sleep that no other sandbox's sleeper has.
    seconds = f"51.{int(box.id.rpartition('-')[2], 16) % 10**9:09d}"
    body = {"command": "sleep", "args": [seconds]}
    assert box.ask("POST", "/commands/background", body).status == 200
    sleeper = next(p for p in family(server.pid) if p.cmdline() == ["sleep", seconds])
    keeper = sleeper.parent()
    assert keeper is not None
    return keeper


def next_of(server: SandboxServerProcess, keeper: psutil.Process) -> Box | None:
    """A new sandbox that this keeper made, if it makes one soon."""
    client = Client(server.url)
    for _ in range(CREATES):
        box = client.create()
        if keeper_of(server, box) == keeper:
            return box
    return None


def test_a_kept_keepers_next_sandbox_has_nothing_of_the_last(own: SandboxServerProcess) -> None:
    client = Client(own.url)
    box = client.create(env_vars={"MINE": "1"})
    box.shell("echo secret > file; echo x > /tmp/file; echo x > /dev/shm/file; mkfifo pipe")
    box.command("setsid sleep 300 >/dev/null 2>&1 & setsid bash -c 'trap \"\" TERM; sleep 301' &")
    keeper = keeper_of(own, box)
    before = [p for p in keeper.children(recursive=True) if "sleep" in p.cmdline()]
    assert len(before) >= 3
    assert box.kill().status == 200
    assert not any(p.is_running() for p in before), "killed means that nothing is left"
    second = next_of(own, keeper)
    assert second is not None, "the keeper was not kept"
    assert second.shell("find /workspace /tmp /dev/shm -type f -o -type p; echo $MINE") == ""
    assert second.shell("ls /proc | grep -c '^[0-9]'") in {"4", "5"}  # cat, our sleeper, these
    with pytest.raises(ConnectionRefusedError):
        box.ask("GET", "/env")
    assert Box(client, box.id, second.url, box.token).ask("GET", "/env").status == 401
    assert second.shell("id -u; cat /proc/self/status | grep -c 'CapEff:.0*$'") == "1000\n1"


@pytest.mark.parametrize("harm", ["memory", "processes", "paused"])
def test_a_keeper_whose_sandbox_met_a_limit_or_stood_still_is_not_kept(
    own: SandboxServerProcess, harm: str
) -> None:
    client = Client(own.url)
    box = client.create()
    keeper = keeper_of(own, box)
    if harm == "memory":
        box.python("b'x' * (512 << 20)")
    elif harm == "processes":
        box.python(FORKS)
    else:
        assert client.ask("POST", f"/v1/sandboxes/{box.id}/pause").status == 200
    assert box.kill().status == 200
    assert eventually(lambda: not keeper.is_running())


def test_a_keeper_that_nobody_needs_is_given_back(own: SandboxServerProcess) -> None:
    box = Client(own.url).create()
    keeper = keeper_of(own, box)
    box.kill()
    assert eventually(lambda: not keeper.is_running())


def test_a_kept_keeper_that_dies_is_not_asked_again(own: SandboxServerProcess) -> None:
    client = Client(own.url)
    box = client.create()
    keeper = keeper_of(own, box)
    box.kill()
    keeper.kill()
    boxes = [client.create() for _ in range(CREATES)]
    assert {one.shell("echo alive") for one in boxes} == {"alive"}

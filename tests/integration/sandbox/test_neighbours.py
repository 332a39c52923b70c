"""Two sandboxes at the same time: neither can tell that the other is there."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from tests.integration.sandbox.client import Box, Client


@pytest.fixture(scope="module")
def pair(client: Client) -> Iterator[tuple[Box, Box]]:
    boxes = client.create(env_vars={"WHOSE": "first"}), client.create()
    yield boxes
    for box in boxes:
        box.kill()


@pytest.mark.parametrize("folder", ["/workspace", "/tmp", "/dev/shm"])
def test_files_are_ones_own(pair: tuple[Box, Box], folder: str) -> None:
    first, second = pair
    first.shell(f"echo secret > {folder}/mine")
    assert second.shell(f"ls {folder}") == ""


def test_variables_are_ones_own(pair: tuple[Box, Box]) -> None:
    first, second = pair
    first.ask("PATCH", "/env", {"env_vars": {"LATER": "first"}})
    assert first.shell("echo $WHOSE $LATER") == "first first"
    assert second.shell("echo $WHOSE $LATER") == ""
    assert second.ask("GET", "/env").body["env_vars"] == {}


def test_processes_are_ones_own(pair: tuple[Box, Box]) -> None:
    first, second = pair
    first.command("sleep 53 >/dev/null 2>&1 & sleep 54 >/dev/null 2>&1 &")
    assert first.shell("pgrep -c sleep") == "2"
    assert second.shell("pgrep -c sleep || true") == "0"
    second.command("pkill -9 sleep; kill -9 -1")
    assert first.shell("pgrep -c sleep") == "2"


LISTEN = """
import socket
kept = socket.socket(socket.AF_UNIX)
kept.bind("\\0shared-name")
kept.listen()
port = socket.create_server(("127.0.0.1", 8080))
"""


def test_ports_and_abstract_sockets_are_ones_own(pair: tuple[Box, Box]) -> None:
    first, second = pair
    program = LISTEN + "open('/tmp/up', 'w')\nport.accept()"
    body = {"command": "python", "args": ["-c", program]}
    assert first.ask("POST", "/commands/background", body).status == 200
    first.shell("until [ -e /tmp/up ]; do sleep 0.01; done")
    code = """
import socket
for family, address in ((socket.AF_UNIX, "\\0shared-name"), (socket.AF_INET, ("127.0.0.1", 8080))):
    try:
        socket.socket(family).connect(address)
    except OSError as error:
        print(type(error).__name__)
"""
    assert second.python(code) == "ConnectionRefusedError\nConnectionRefusedError"
    # The same names are free here.
    assert second.python(LISTEN + "print('bound')") == "bound"


def test_system_v_memory_is_ones_own(pair: tuple[Box, Box]) -> None:
    first, second = pair
    assert "0x" in first.shell("ipcmk -M 4096 >/dev/null; ipcs -m | tail -n +4")
    assert second.shell("ipcs -m | tail -n +4") == ""


@pytest.mark.needs_root
def test_users_are_ones_own_on_the_host(pair: tuple[Box, Box]) -> None:
    for box, seconds in zip(pair, ("59.25", "59.5"), strict=True):
        box.command(f"sleep {seconds} >/dev/null 2>&1 &")
    processes = psutil.process_iter(["cmdline", "uids"])
    sleeping = [["sleep", "59.25"], ["sleep", "59.5"]]
    users = {p.info["uids"].real for p in processes if p.info["cmdline"] in sleeping}
    assert len(users) == 2
    assert min(users) >= 200_000


def test_a_network_is_there_for_those_who_asked(client: Client) -> None:
    with_network = client.create(internet_access=True)
    interfaces = "ls /sys/class/net 2>/dev/null; tail -n +3 /proc/net/dev | cut -d: -f1"
    assert "lo" in with_network.shell(interfaces).split()
    assert with_network.shell("test -s /etc/resolv.conf && echo yes") == "yes"
    assert with_network.python("import socket; socket.socket(socket.AF_INET); print(1)") == "1"
    with_network.kill()

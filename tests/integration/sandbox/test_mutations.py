"""The attack tests bite: with one part of the recipe left out, the attack succeeds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from glovebox_local.sandbox.settings import Recipe

from tests.integration.sandbox.client import ERRNO_OF, Box, Client
from tests.integration.sandbox.mutated import LESSER, VARIABLE, MutatedServer

ATTACKS = Path(__file__).parent / "test_attacks_on_the_host.py"


@contextmanager
def weaker(recipe: Recipe) -> Iterator[Box]:
    with MutatedServer(recipe) as server:
        yield Client(server.url).create()


@pytest.mark.needs_root
@pytest.mark.parametrize(
    ("part", "red"),
    [
        (
            "seccomp",
            {
                "test_only_common_socket_families_exist",
                "test_the_hosts_keyring_is_out_of_reach",
                "test_dangerous_system_calls_are_refused",
                "test_the_first_process_cannot_be_traced_or_read",
                "test_a_command_has_no_capability_and_can_gain_none",
                "test_threads_and_child_processes_work_without_clone3",
            },
        ),
        ("own_uid", {"test_kernel_settings_cannot_be_written"}),
        ("clean_environment", {"test_the_services_environment_is_in_no_process"}),
    ],
)
def test_the_attacks_that_a_part_stops_succeed_without_it(part: str, red: set[str]) -> None:
    ended = run_the_attacks({VARIABLE: part})
    failed = set(re.findall(r"^FAILED \S+::(\w+)", ended, re.MULTILINE))
    assert red <= failed, ended
    # The others stand: each part has its own tests, and those that fail do not fail for all.
    passed = int(re.findall(r"(\d+) passed", ended)[0])
    assert passed > 2 * len(re.findall(r"^FAILED ", ended, re.MULTILINE))


@pytest.mark.needs_root
@pytest.mark.parametrize("level", sorted(LESSER))
def test_at_a_lower_level_the_way_out_is_as_shut(level: str) -> None:
    failed = set(
        re.findall(r"^FAILED \S+::(\w+)", run_the_attacks({VARIABLE: level}), re.MULTILINE)
    )
    assert failed == {"test_the_level_is_full"}


def run_the_attacks(variables: dict[str, str]) -> str:
    """What pytest says of the attack tests, in a session of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rf", "-p", "no:cacheprovider"]
    env = {**os.environ, **variables}
    ended = subprocess.run(
        [*command, str(ATTACKS)],
        capture_output=True,
        text=True,
        env=env,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    return ended.stdout


def test_without_the_filter_sockets_keyrings_and_io_uring_are_open() -> None:
    with weaker(Recipe(seccomp=False)) as box:
        for family, kind in (("AF_VSOCK", "SOCK_STREAM"), ("AF_NETLINK", "SOCK_RAW")):
            code = f"import socket; print(socket.socket(socket.{family}, socket.{kind}).fileno())"
            assert box.python(code) == "3"
        keyring = f"{ERRNO_OF}\nprint(errno_of(250, 0, -3, 1))\n"
        assert box.python(keyring) == "ALLOWED"
        ring = f"{ERRNO_OF}\np = ctypes.create_string_buffer(120)\n"
        assert box.python(f"{ring}print(errno_of(425, 1, ctypes.addressof(p)))\n") != "EPERM"
        # Two locks on this door: namespaces stay shut.
        assert box.python(f"{ERRNO_OF}\nprint(errno_of(272, 0x10000000))\n") != "ALLOWED"


@pytest.mark.needs_root
def test_without_a_user_of_its_own_a_sandbox_is_root_to_the_kernel() -> None:
    with weaker(Recipe(own_uid=False)) as box:
        # Opened and not written: it is this machine's.
        code = "import os; print(os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY))"
        assert box.python(code) == "3"

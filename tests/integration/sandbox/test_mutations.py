"""The attack tests bite: with one part of the recipe left out, the attack succeeds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess
from glovebox_local.sandbox.settings import Recipe

from tests.integration.sandbox.client import API_KEY, ERRNO_OF, Box, Client


class MutatedServer(SandboxServerProcess):
    """A service with a weaker recipe, which its command line does not offer."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(API_KEY)
        self._recipe = recipe

    def command(self) -> list[str]:
        program = (
            "from glovebox_local.sandbox.service import run\n"
            "from glovebox_local.sandbox.settings import Recipe, SandboxSettings\n"
            f"run(SandboxSettings(api_key={API_KEY!r}, recipe={self._recipe!r}))\n"
        )
        return [sys.executable, "-c", program]


@contextmanager
def weaker(recipe: Recipe) -> Iterator[Box]:
    with MutatedServer(recipe) as server:
        yield Client(server.url).create()


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

"""One service for the whole folder, and a client of it that costs nothing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, SMALL, Box, Client
from tests.integration.sandbox.mutated import left_out

with warnings.catch_warnings():
    # The SDK imports a name that websockets calls deprecated; neither is ours to mend.
    warnings.simplefilter("ignore", DeprecationWarning)
    import hopx_ai
    import hopx_ai._async_terminal  # noqa: F401 - loaded late by the asynchronous client


@pytest.fixture(autouse=True)
def _only_root(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("needs_root") and os.geteuid() != 0:
        pytest.skip("needs root: the full isolation level cannot be reached")


@pytest.fixture(scope="session")
def server() -> Iterator[SandboxServerProcess]:
    with left_out() or SandboxServerProcess(API_KEY, options=SMALL) as process:
        yield process


@pytest.fixture(scope="session")
def client(server: SandboxServerProcess) -> Client:
    return Client(server.url)


@pytest.fixture
def box(client: Client) -> Iterator[Box]:
    """A sandbox of the test's own."""
    box = client.create()
    yield box
    box.kill()


@pytest.fixture(scope="module")
def shared(client: Client) -> Iterator[Box]:
    """A sandbox for tests that leave it as it was."""
    box = client.create()
    yield box
    box.kill()

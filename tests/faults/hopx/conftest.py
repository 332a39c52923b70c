"""What must hold, whatever breaks: the provider knows no sandbox that nobody asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.fakes import RealClock
from tests.faults.hopx.laboratory import KEY, kill_behind_our_back, live
from tests.faults.hopx_proxy import HopxFaultProxy


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    with SandboxServerProcess(KEY) as server:
        yield server.url


@pytest.fixture
def proxy(server_url: str) -> Iterator[HopxFaultProxy]:
    """Held connections are short: what waits for longer has a patience that the test made short."""
    with HopxFaultProxy(server_url, hold_seconds=0.1) as proxy:
        yield proxy
    left = {described["id"] for described in live(server_url)}
    for sandbox_id in left:
        kill_behind_our_back(server_url, sandbox_id)
    assert left <= proxy.orphans(), "the provider knows sandboxes that nobody asked for"


@pytest.fixture
def sandboxes(proxy: HopxFaultProxy) -> Iterator[HopxSandboxes]:
    sandboxes = HopxSandboxes(proxy.url, KEY, RealClock())
    yield sandboxes
    sandboxes.close()

"""One server for the whole folder, with the limits of a small machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, SMALL, Client

with warnings.catch_warnings():
    # The SDK imports names that websockets calls deprecated; neither is ours to mend.
    warnings.simplefilter("ignore", DeprecationWarning)
    import hopx_ai
    import hopx_ai._async_terminal  # noqa: F401


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServerProcess]:
    log: Path = tmp_path_factory.mktemp("sandbox-server") / "log"
    with SandboxServerProcess(API_KEY, options=SMALL, log=log) as process:
        yield process
    # A request that made the service fail is an error, whatever was answered.
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="session")
def client(server: SandboxServerProcess) -> Client:
    return Client(server.url)

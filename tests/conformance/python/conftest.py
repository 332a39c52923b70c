"""A test is for the methods that it claims, and the server's answers to it are all described."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Generator, Iterator
from typing import Any

import httpx
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess
from hopx_ai import AsyncSandbox, Sandbox

from tests.conformance import descriptions
from tests.conformance.deviations import complaint, table
from tests.conformance.python.blocking import Blocking
from tests.conformance.python.surface import Kind, calls_of, claimed
from tests.conformance.python.traffic import Exchange, recorded
from tests.integration.sandbox.client import API_KEY

Make = Callable[..., Any]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Hold a test that passed to its claims, and the server to its promises."""
    mark = item.get_closest_marker("covers")
    callspec = getattr(item, "callspec", None)
    kind = callspec.params.get("kind") if callspec else None
    names = claimed(mark, kind) if mark else set()
    with calls_of(names) as called, recorded() as exchanges:
        yield
    assert not names - called, f"claimed and never called: {sorted(names - called)}"
    wrong = _undescribed(exchanges, item)
    assert not wrong, "\n".join(wrong)


def _undescribed(exchanges: set[Exchange], item: pytest.Item) -> list[str]:
    if "undescribed" in item.keywords:
        return []
    control, agent = descriptions.load("control"), descriptions.load("agent")
    if control is None or agent is None:
        return []
    rows = table()
    complaints = []
    for exchange in exchanges:
        ours = exchange.path.startswith("/v1/")
        found = complaint(
            control if ours else agent, rows, exchange.method, exchange.path, exchange.status
        )
        if found is not None:
            complaints.append(found)
    return sorted(complaints)


@pytest.fixture(scope="session", autouse=True)
def _one_ssl_context() -> Iterator[None]:
    """The SDK reads the machine's certificates for every client anew: 100 ms for each sandbox."""
    with pytest.MonkeyPatch.context() as patch:
        made_once = functools.cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", made_once)
        yield


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all: an asynchronous sandbox belongs to the loop that used it first."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def account(server: SandboxServerProcess) -> dict[str, str]:
    """What every call to the control plane is given."""
    return {"api_key": API_KEY, "base_url": server.url}


@pytest.fixture
def sdk(kind: Kind, runner: asyncio.Runner) -> Blocking:
    """The sandbox class of one of the two SDKs."""
    return Blocking(Sandbox if kind == "sync" else AsyncSandbox, runner)


@pytest.fixture
def make(sdk: Blocking, account: dict[str, str]) -> Iterator[Make]:
    """Create sandboxes that end with the test."""
    made: list[Any] = []

    def create(template: str | None = "code-interpreter", **given: Any) -> Any:
        wanted = {"internet_access": False, "timeout_seconds": 120, **given, **account}
        sandbox = sdk.create(template=template, **wanted)
        made.append(sandbox)
        return sandbox

    yield create
    for sandbox in made:
        ended = Sandbox(sandbox.sandbox_id, **account)
        if sandbox.sandbox_id in {living.sandbox_id for living in Sandbox.list(**account)}:
            ended.kill()


@pytest.fixture
def sandbox(make: Make) -> Any:
    """A sandbox of the test's own."""
    return make()


@pytest.fixture
def limit(kind: Kind) -> Callable[[int], dict[str, int]]:
    """The time limit of ``run_code`` and ``commands.run``, which the two SDKs name apart."""
    name = "timeout" if kind == "sync" else "timeout_seconds"
    return lambda seconds: {name: seconds}

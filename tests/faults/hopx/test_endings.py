"""The sandbox dies (row 21), or does not (row 22, as far as it is the adapter's)."""

from __future__ import annotations

import pytest
from glovebox.adapters import hopx_sandboxes
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.errors import SandboxLost, SandboxUnavailable
from glovebox.ports import SandboxRequest

from tests.faults.hopx.laboratory import (
    REQUEST,
    always,
    kill_behind_our_back,
    live,
    once_counted,
)
from tests.faults.hopx_proxy import Fault, HopxFaultProxy, Kind


@pytest.mark.parametrize("operation", ["upload", "run", "download"])
def test_a_sandbox_that_dies_half_way_is_lost_and_not_asked_after_for_long(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, server_url: str, operation: str
) -> None:
    made = sandboxes.create(REQUEST)
    made.upload("/workspace/f", b"x")

    def kill() -> None:
        kill_behind_our_back(server_url, made.sandbox_id)

    def call() -> None:
        if operation == "run":
            made.run("sleep 600", env={}, timeout_seconds=600)
        while operation == "upload":
            made.upload("/workspace/f", b"x" * 1000)
        while operation == "download":
            made.download("/workspace/f", limit=10)

    killer = once_counted(lambda: proxy.forwarded[operation], kill)
    with pytest.raises(SandboxLost) as caught:
        call()
    killer.join()
    assert not caught.value.still_there
    assert proxy.requests["get"] <= 1, "one question to the control plane, and that was it"
    sandboxes.kill(made.sandbox_id)


def test_a_sandbox_whose_time_is_over_is_lost(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy
) -> None:
    short = SandboxRequest(image="code-interpreter", network=False, ttl_seconds=1)
    made = sandboxes.create(short)
    with pytest.raises(SandboxLost) as caught:
        made.run("sleep 600", env={}, timeout_seconds=600)
    assert not caught.value.still_there
    with pytest.raises(SandboxLost):
        sandboxes.attach(made.sandbox_id)
    sandboxes.kill(made.sandbox_id)


def test_killing_ends_a_call_that_hangs(sandboxes: HopxSandboxes, proxy: HopxFaultProxy) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(always(Kind.BLACKHOLE, "run", seconds=1000))
    asked = once_counted(lambda: proxy.requests["run"], lambda: sandboxes.kill(made.sandbox_id))
    with pytest.raises(SandboxLost):
        made.run("true", env={}, timeout_seconds=900)
    asked.join()
    assert proxy.requests["run"] == 1
    assert proxy.orphans() == set()


KILLS = [
    Kind.SERVER_500,
    Kind.SERVER_502,
    Kind.SERVER_503,
    Kind.ANSWERED_504_AFTER,
    Kind.DROPPED_BEFORE,
    Kind.DROPPED_AFTER,
    Kind.TRUNCATED,
    Kind.HTML_200,
    Kind.JSON_NULL,
    Kind.BLACKHOLE,
    Kind.RATE_LIMITED_NESTED,
    Kind.RATE_LIMITED_FLAT,
    Kind.RATE_LIMITED_HEADER,
]


@pytest.mark.parametrize("kind", KILLS)
def test_a_kill_is_repeated_until_it_is_sure(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, server_url: str, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(Fault(kind, on="delete", times=2, seconds=0.01))
    sandboxes.kill(made.sandbox_id)
    assert live(server_url) == []


def test_a_kill_that_is_answered_with_nothing_is_a_kill(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, server_url: str
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(always(Kind.EMPTY_204, "delete"))
    sandboxes.kill(made.sandbox_id)
    assert proxy.requests["delete"] == 1
    assert live(server_url) == []


@pytest.mark.parametrize("kind", [Kind.SERVER_500, Kind.DROPPED_BEFORE, Kind.HTML_200])
def test_a_kill_that_never_comes_through_is_told(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(Fault(kind, when=lambda method, _: method == "DELETE", times=None))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.kill(made.sandbox_id)
    assert caught.value.sandbox_id == made.sandbox_id
    assert proxy.requests["delete"] == hopx_sandboxes.KILL.tries

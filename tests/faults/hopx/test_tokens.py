"""Tokens expire, are refreshed, and go nowhere else."""

from __future__ import annotations

import pytest
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.errors import SandboxLost, SandboxUnavailable

from tests.faults.hopx.laboratory import (
    REQUEST,
    always,
    count_once,
    once,
)
from tests.faults.hopx_proxy import Fault, HopxFaultProxy, Kind


@pytest.mark.parametrize("operation", ["upload", "run", "download"])
def test_an_expired_token_is_refreshed_once_and_the_call_repeated(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, operation: str
) -> None:
    made = sandboxes.create(REQUEST)
    made.upload("/workspace/f", b"x")
    proxy.inject(once(Kind.EXPIRED_TOKEN, operation))
    made.upload("/workspace/f", b"x")
    assert made.run("cat f", env={}, timeout_seconds=5).stdout == "x"
    assert made.download("/workspace/f", limit=1) == b"x"
    assert proxy.requests["refresh"] == 1
    sandboxes.kill(made.sandbox_id)


def test_a_token_that_is_refused_when_it_is_new_is_the_end(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(always(Kind.EXPIRED_TOKEN, "run"))
    with pytest.raises(SandboxLost, match="401"):
        made.run("true", env={}, timeout_seconds=5)
    assert (proxy.requests["run"], proxy.requests["refresh"]) == (2, 1)
    sandboxes.kill(made.sandbox_id)


@pytest.mark.parametrize("kind", [Kind.SERVER_500, Kind.EMPTY_OBJECT, Kind.DROPPED_BEFORE])
def test_a_refresh_is_repeated_and_its_failing_is_the_end(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(once(Kind.EXPIRED_TOKEN, "run"), Fault(kind, on="refresh", times=2))
    assert made.run("true", env={}, timeout_seconds=5).exit_code == 0
    proxy.inject(once(Kind.EXPIRED_TOKEN, "run"), always(kind, "refresh"))
    with pytest.raises(SandboxLost, match="token"):
        made.run("true", env={}, timeout_seconds=5)
    sandboxes.kill(made.sandbox_id)


@pytest.mark.parametrize("operation", ["get", "refresh"])
@pytest.mark.parametrize(
    "kind", [Kind.SERVER_502, Kind.EMPTY_OBJECT, Kind.JSON_NULL, Kind.TRUNCATED, Kind.BLACKHOLE]
)
def test_going_on_with_a_sandbox_bears_a_control_plane_that_stumbles(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, operation: str, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    made.upload("/workspace/f", b"x")
    proxy.inject(Fault(kind, on=operation, times=2))
    assert sandboxes.attach(made.sandbox_id).download("/workspace/f", limit=1) == b"x"
    proxy.inject(always(kind, operation))
    with pytest.raises(SandboxUnavailable):
        sandboxes.attach(made.sandbox_id)
    sandboxes.kill(made.sandbox_id)


def test_an_agent_never_sees_the_key(sandboxes: HopxSandboxes, proxy: HopxFaultProxy) -> None:
    made = sandboxes.create(REQUEST)
    count_once(made)
    made.download("/workspace/runs", limit=100)
    assert proxy.forwarded["run"] == 1
    assert proxy.keys_at_agents == []
    sandboxes.kill(made.sandbox_id)

"""Too many creations (row 17), and creations of which nobody knows what came (row 18)."""

from __future__ import annotations

from typing import Any

import pytest
from glovebox.adapters import hopx_sandboxes
from glovebox.adapters.hopx_patience import Patience
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.errors import SandboxUnavailable

from tests.faults.hopx.laboratory import (
    REQUEST,
    always,
    live,
)
from tests.faults.hopx_proxy import Fault, HopxFaultProxy, Kind

OUTCOME_UNKNOWN = [
    Kind.ANSWERED_504_AFTER,
    Kind.ANSWERED_502_AFTER,
    Kind.DROPPED_AFTER,
    Kind.TRUNCATED,
    Kind.HTML_200,
    Kind.EMPTY_OBJECT,
    Kind.MISSING_ID,
    Kind.JSON_NULL,
    Kind.BLACKHOLE_AFTER,
]


@pytest.mark.parametrize(
    "kind", [Kind.RATE_LIMITED_NESTED, Kind.RATE_LIMITED_FLAT, Kind.RATE_LIMITED_HEADER]
)
@pytest.mark.parametrize(("wish", "told"), [(7, 7.0), (3600, 300.0)])
def test_too_many_creations_are_told_with_the_providers_wish_and_leave_nothing(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind, wish: float, told: float
) -> None:
    proxy.inject(always(kind, "create", seconds=wish))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert caught.value.retry_after_seconds == told
    assert not caught.value.possibly_created
    assert proxy.requests["create"] == 1, "waiting is for who paces all creations"
    assert proxy.created == []


@pytest.mark.parametrize("kind", OUTCOME_UNKNOWN)
def test_a_creation_that_may_have_happened_is_not_repeated_and_told_as_possible(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, server_url: str, kind: Kind
) -> None:
    proxy.inject(always(kind, "create"))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert caught.value.possibly_created
    assert proxy.requests["create"] == 1
    assert [described["timeout_seconds"] for described in live(server_url)] == [77]


def test_a_creation_that_never_arrived_cannot_be_told_from_one_that_did(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy
) -> None:
    proxy.inject(always(Kind.DROPPED_BEFORE, "create"))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert caught.value.possibly_created
    assert (proxy.requests["create"], proxy.created) == (1, [])


def test_a_creation_that_was_surely_not_made_is_repeated(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy
) -> None:
    proxy.inject(Fault(Kind.SERVER_503, on="create", times=2))
    sandboxes.kill(sandboxes.create(REQUEST).sandbox_id)
    assert (proxy.requests["create"], len(proxy.created)) == (3, 1)
    assert proxy.orphans() == set()


def test_a_creation_ends_within_its_deadline(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hopx_sandboxes, "CREATE", Patience(tries=3, try_seconds=0.3, seconds=0.5))
    proxy.inject(always(Kind.BLACKHOLE_AFTER, "create", seconds=100))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert caught.value.possibly_created
    assert proxy.requests["create"] == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"public_host": "http://192.0.2.1:80"},
        {"auth_token": "a\nb"},
    ],
)
def test_a_sandbox_that_cannot_be_talked_to_is_killed_at_once(
    sandboxes: HopxSandboxes,
    proxy: HopxFaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
) -> None:
    change_the_answer_to_a_creation(sandboxes, monkeypatch, changed)
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert not caught.value.possibly_created
    assert len(proxy.created) == 1
    assert proxy.orphans() == set()


@pytest.mark.parametrize(
    "changed", [{"public_host": None, "direct_url": None}, {"auth_token": None}]
)
@pytest.mark.parametrize("kind", [None, Kind.SERVER_502, Kind.JSON_NULL])
def test_what_the_answer_to_a_creation_lacks_is_asked_for(
    sandboxes: HopxSandboxes,
    proxy: HopxFaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    kind: Kind | None,
) -> None:
    change_the_answer_to_a_creation(sandboxes, monkeypatch, changed)
    if kind is not None:
        proxy.inject(Fault(kind, on="get", times=1), Fault(kind, on="refresh", times=1))
    made = sandboxes.create(REQUEST)
    assert made.run("echo there", env={}, timeout_seconds=20).stdout == "there\n"
    sandboxes.kill(made.sandbox_id)


def test_a_sandbox_of_which_no_more_can_be_learnt_is_killed(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_the_answer_to_a_creation(sandboxes, monkeypatch, {"auth_token": None})
    proxy.inject(always(Kind.SERVER_500, "refresh"))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert not caught.value.possibly_created
    assert proxy.orphans() == set()


def change_the_answer_to_a_creation(
    sandboxes: HopxSandboxes, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    client = sandboxes._control._client
    once = client.once

    def changing(method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = once(method, path, body)
        return answer | changed if path == "/v1/sandboxes" else answer

    monkeypatch.setattr(client, "once", changing)

"""`make live` says what it needs and what it will create before it creates anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests import live
from tests.faults.hopx_proxy import HopxFaultProxy
from tests.live import Estimate, main

pytestmark = pytest.mark.thorough

KEY = "the-key-of-the-account"
ONE = ["--only", "contract", "--select", "exit_code"]


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch) -> Iterator[HopxFaultProxy]:
    """A sandbox server in the hosted service's place, and who counts before it."""
    monkeypatch.setenv("HOPX_API_KEY", KEY)
    with SandboxServerProcess(KEY) as server, HopxFaultProxy(server.url) as counting:
        yield counting


def test_without_a_key_it_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOPX_API_KEY", raising=False)
    assert main([]) == 2
    assert "set HOPX_API_KEY" in capfd.readouterr().err


def test_with_a_yes_the_same_suite_runs_against_the_service(
    hosted: HopxFaultProxy, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*ONE, "--base-url", hosted.url, "--yes"]) == 0
    said = capfd.readouterr().out
    assert "sandboxes        1\n" in said
    assert "at most 120" in said
    assert "unknown" in said
    assert len(hosted.created) == 1
    assert hosted.orphans() == set()


@pytest.mark.parametrize(
    ("rehearsed", "options", "code"),
    [(Estimate(1, 1.0, 120, 0), [], 2), (None, ["--yes"], 1)],
    ids=["without a yes", "after a rehearsal that failed"],
)
def test_nothing_is_asked_of_the_service(
    hosted: HopxFaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    rehearsed: Estimate | None,
    options: list[str],
    code: int,
) -> None:
    monkeypatch.setattr(live, "rehearse", lambda _: rehearsed)
    assert main([*ONE, *options, "--base-url", hosted.url]) == code
    assert not hosted.requests


def test_a_cost_is_reckoned_by_the_prices_given_and_by_no_others() -> None:
    estimate = Estimate(sandboxes=2, lived_seconds=10, longest_seconds=240, builds=1)
    assert "0.5100 to 0.7400" in estimate.text(0.001, 0.5)
    for prices in ((None, None), (0.001, None), (None, 0.5)):
        assert "unknown" in estimate.text(*prices)

"""Whole runs on a HopX that fails: what the report says, and how often HopX was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from glovebox.adapters.hopx_images import HopxImages
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.outcome import Conclusion, Outcome
from glovebox.domain.report import Report
from glovebox.usecases.plan import PlanRun
from glovebox.usecases.reduce import ReduceRun
from glovebox.usecases.settle import SettleRound

from tests.faults.hopx.laboratory import (
    KEY,
    always,
    kill_behind_our_back,
    live,
    once_counted,
)
from tests.faults.hopx_proxy import Fault, HopxFaultProxy, Kind
from tests.unit.usecases.driver import Spine

GOOD = [f"good-{number}" for number in range(3)]
BAD = [f"bad-{number}" for number in range(3)]


class HopxSpine(Spine):
    """The use cases over HopX through the proxy, and everything else in memory."""

    def __init__(self, folder: Path, proxy: HopxFaultProxy, sandboxes: HopxSandboxes) -> None:
        super().__init__(folder)
        self.sandboxes = sandboxes  # type: ignore[assignment]
        images = HopxImages(proxy.url, KEY, self.clock)
        shared = (self.runs, self.artifacts, self.clock)
        self.plan = PlanRun(sandboxes, *shared, self.token, 4, images, False, 1000)
        self.settle = SettleRound(sandboxes, *shared, images, quick_images=False)
        self.reduce = ReduceRun(*shared)

    def judge(self, tests: list[str], *, script: str = "true", **more: Any) -> Report:
        """A test is a word: good ones end with 0, bad ones with 1, both after the script."""
        verdict = 'case "$1" in good*) exit 0;; *) exit 1;; esac'
        command = ["bash", "-c", f"{script}; {verdict}", "bash", "{test_id}"]
        return self.run(
            {"ballast.txt": "x" * 50_000}, framework="command", command=command, tests=tests, **more
        )


@pytest.fixture
def spine(tmp_path: Path, proxy: HopxFaultProxy, sandboxes: HopxSandboxes) -> HopxSpine:
    return HopxSpine(tmp_path, proxy, sandboxes)


@pytest.mark.parametrize("bake", ["never", "always"])
def test_a_test_takes_four_round_trips(spine: HopxSpine, proxy: HopxFaultProxy, bake: str) -> None:
    report = spine.judge(GOOD + BAD, image={"bake": bake})
    assert report.conclusion is Conclusion.FAILED
    tests = len(GOOD + BAD)
    images = proxy.requests.pop("images", 0)
    assert (images > 0) == (bake == "always")
    assert proxy.requests == {"create": tests, "upload": tests, "run": tests, "delete": tests}


@pytest.mark.parametrize(
    "kind", [Kind.RATE_LIMITED_NESTED, Kind.RATE_LIMITED_FLAT, Kind.RATE_LIMITED_HEADER]
)
def test_too_many_requests_fail_no_test_and_make_no_sandbox_in_vain(
    spine: HopxSpine, proxy: HopxFaultProxy, kind: Kind
) -> None:
    proxy.inject(Fault(kind, on="create", times=2, seconds=0.01))
    assert spine.judge(GOOD).conclusion is Conclusion.PASSED
    assert len(proxy.created) == len(GOOD)


@pytest.mark.parametrize(
    "kind",
    [Kind.EMPTY_OBJECT, Kind.EXIT_CODE_NULL, Kind.HTML_200, Kind.TRUNCATED, Kind.JSON_NULL],
)
def test_malformed_answers_alone_prove_nothing(
    spine: HopxSpine, proxy: HopxFaultProxy, kind: Kind
) -> None:
    proxy.inject(always(kind, "run"))
    report = spine.judge(["good", "bad"])
    assert {test.result for test in report.tests} == {Outcome.ERRORED}
    assert proxy.forwarded["run"] > len(report.tests)
    assert proxy.orphans() == set()


def test_a_sandbox_that_dies_half_way_costs_an_attempt_and_no_result(
    spine: HopxSpine, proxy: HopxFaultProxy, server_url: str
) -> None:
    def kill() -> None:
        for described in live(server_url):
            kill_behind_our_back(server_url, described["id"])

    killer = once_counted(lambda: proxy.forwarded["run"], kill)
    # Only the first attempt takes long enough to be killed within.
    report = spine.judge(["good"], script='[ "$GLOVEBOX_ATTEMPT" -gt 1 ] || sleep 20')
    killer.join()
    [test] = report.tests
    assert test.result is Outcome.PASSED
    assert [attempt.outcome for attempt in test.attempts] == [Outcome.ERRORED, Outcome.PASSED]


@pytest.mark.parametrize("seed", range(4))
def test_under_faults_of_all_kinds_no_result_is_wrong(
    spine: HopxSpine, proxy: HopxFaultProxy, seed: int
) -> None:
    proxy.faults.seed, proxy.faults.rate = seed, 0.2
    report = spine.judge(GOOD + BAD)
    results = {test.test_id: test.result for test in report.tests}
    assert set(results) == set(GOOD + BAD)
    assert {results[name] for name in GOOD} <= {Outcome.PASSED, Outcome.ERRORED}
    assert {results[name] for name in BAD} <= {Outcome.FAILED, Outcome.ERRORED}
    assert Outcome.PASSED in results.values()
    assert all(len(proxy.processes(sandbox_id)) <= 1 for sandbox_id in proxy.created)

"""A launcher breaks at each point between two effects, in each way: the truth is told all the same.

The launcher really runs, in its own process as on AWS; `tests/faults/lab` tells it when to break.
Every run has one test that passes and one that fails, and breaks once. All runs go at the same
time on one stack; each test here waits for its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults import invariants
from tests.faults.lab.laboratory import TRUTH, Laboratory

POINTS = (
    "received",
    "claimed",
    "created",
    "id_saved",
    "uploaded",
    "started",
    "finished",
    "result_saved",
    "killed",
    "token_sent",
    "acked",
)
KINDS = ("crash", "hang", "exception")
PAUSED = POINTS[: POINTS.index("killed")]
"""Where a launcher is stopped until it is given up, wakes again, and goes on as if nothing had
been."""
SHORT_SECONDS = 0.4
LONG_SECONDS = 8.5
"""Longer than the laboratory's launcher may run: the batch is handed on."""
FAULTS = [
    *(f"handed_on/{kind}" for kind in (*KINDS, "pause")),
    *(f"{point}/{kind}" for kind in KINDS for point in POINTS),
    *(f"{point}/pause" for point in PAUSED),
    "started/memory",
    "claimed/mute",
]
LEFT_TO_THEIR_TIME = ("created", "result_saved")
"""Points at which the ledger does not know that there is a sandbox to be killed."""
AT_ONCE = 4
"""Runs at a time: with more, batches wait for launchers until they count as lost and are launched
again, and a slow machine has more and more to do."""


@pytest.fixture(scope="module")
def runs(
    laboratory: Laboratory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[str]]]:
    """The run of each fault that is asked for, started and waited for side by side."""
    asked = [getattr(item, "callspec", None) for item in request.session.items]
    faults = [spec.params["fault"] for spec in asked if spec and "fault" in spec.params]

    def run(fault: str) -> str:
        long = fault.startswith("handed_on") or fault.endswith("mute")
        seconds = LONG_SECONDS if long else SHORT_SECONDS
        # Side by side where they are long: what counts is that they are.
        name, width = re.sub("[/_]", "-", fault), 2 if long else 1
        run_id = laboratory.start(fault, name=name, seconds=seconds, parallelism=width)
        laboratory.wait(run_id)
        return run_id

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {fault: pool.submit(run, fault) for fault in faults}
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_truth_is_told(
    laboratory: Laboratory, runs: dict[str, Future[str]], fault: str
) -> None:
    run_id = runs[fault].result()
    assert laboratory.journal(run_id, "struck"), "the fault never struck"
    world = laboratory.world(run_id)
    broken = fault.startswith(LEFT_TO_THEIR_TIME)
    invariants.check(world, broken=broken, truth=TRUTH)
    (view,) = world.runs
    report = json.loads(view.reports[-1])
    told = {test["test_id"]: test["result"] for test in report["tests"]}
    assert told == {"good": "passed", "bad": "failed"}
    assert not any(test["flaky"] for test in report["tests"])


@pytest.mark.timeout(240)
def test_in_the_end_nothing_is_left(laboratory: Laboratory, runs: dict[str, Future[str]]) -> None:
    ids = {fault: future.result() for fault, future in runs.items()}
    invariants.check(laboratory.settled_world(), over=True, truth=TRUTH)
    assert not laboratory.counter.overlaps
    for fault, run_id in ids.items():
        detected = laboratory.detection_seconds(run_id)
        print(f"{fault:24} detected {detected} orphans {laboratory.orphan_seconds(run_id):.1f}")

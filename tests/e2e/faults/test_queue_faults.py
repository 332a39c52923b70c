"""What the launch queue and Lambda do to a batch while nothing is wrong with its launcher."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.faults import invariants
from tests.faults.lab.laboratory import TRUTH, Laboratory
from tests.faults.lab.shared import SHORTER
from tests.faults.lab.tree import VISIBILITY_SECONDS
from tests.faults.world import RunView

PATIENCE_SECONDS = SHORTER["glovebox.usecases.rounds"]["HEARTBEAT_SECONDS"]
MANY = tuple(f"good-{number}" for number in range(12))


def ended(laboratory: Laboratory, run_id: str) -> RunView:
    """The run when it is over and nothing is wrong with it."""
    laboratory.wait(run_id)
    world = laboratory.world(run_id)
    invariants.check(world, truth=TRUTH)
    dead = [letter for queue in world.queues for letter in queue.dead_letters or ()]
    assert not any(run_id in letter for letter in dead)
    return world.runs[0]


def rounds(view: RunView) -> set[int]:
    return {rows[-1].round for rows in view.attempts}


@contextlib.contextmanager
def busy_processors(processes: int) -> Iterator[None]:
    """As many more that compute as are asked for."""
    command = [sys.executable, "-c", "while True: pass"]
    burning = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def test_a_message_that_comes_back_while_its_batch_is_driven_runs_nothing_twice(
    laboratory: Laboratory,
) -> None:
    run_id = laboratory.start(seconds=VISIBILITY_SECONDS + 2, parallelism=2)
    view = ended(laboratory, run_id)
    deliveries = laboratory.journal(run_id, "delivered")
    assert len(deliveries) > len({line["batch"] for line in deliveries})
    assert rounds(view) == {1}
    assert not laboratory.counter.overlaps


def test_refused_invocations_fill_no_dead_letter_queue(laboratory: Laboratory) -> None:
    before = laboratory.throttled()
    with laboratory.bad_queue(throttled=0.7):
        runs = [laboratory.start(seconds=0.1) for _ in range(4)]
        views = [ended(laboratory, run_id) for run_id in runs]
    assert laboratory.throttled() > before
    assert [view.run.summary for view in views] == [views[0].run.summary] * 4


def test_a_queue_that_duplicates_and_reorders_runs_nothing_twice(laboratory: Laboratory) -> None:
    with laboratory.bad_queue(twice=0.8, late=1.0):
        runs = [laboratory.start(tests=MANY, seconds=0.05, parallelism=10) for _ in range(2)]
        for run_id in runs:
            ended(laboratory, run_id)
    delivered = [line for run_id in runs for line in laboratory.journal(run_id, "delivered")]
    assert len(delivered) > len({(line["run_id"], line["batch"]) for line in delivered})
    assert not laboratory.counter.overlaps


def test_a_busy_machine_is_no_lost_launcher(laboratory: Laboratory) -> None:
    processors = len(os.sched_getaffinity(0))
    with busy_processors(2 * processors):
        run_id = laboratory.start(seconds=PATIENCE_SECONDS + 1, parallelism=2)
        view = ended(laboratory, run_id)
    assert rounds(view) == {1}
    assert {rows[-1].outcome for rows in view.attempts} == set(TRUTH.values())


@pytest.mark.timeout(200)
def test_in_the_end_nothing_is_left(laboratory: Laboratory) -> None:
    invariants.check(laboratory.settled_world(), over=True)

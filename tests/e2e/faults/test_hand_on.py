"""A test that takes longer than a launcher's function may, on the whole stack."""

from __future__ import annotations

from tests.faults import invariants
from tests.faults.lab.laboratory import TRUTH, Laboratory
from tests.faults.lab.tree import LAUNCHER_SECONDS


def test_a_test_may_take_longer_than_its_launcher(laboratory: Laboratory) -> None:
    run_id = laboratory.start(tests=["good", "bad"], seconds=LAUNCHER_SECONDS + 3, parallelism=2)
    laboratory.wait(run_id)
    world = laboratory.world(run_id)
    invariants.check(world, truth=TRUTH)
    assert sorted(world.executions.values()) == [1, 1]
    [first, second] = [rows[-1] for rows in world.runs[0].attempts]
    assert first.round == second.round == 1, "no attempt was lost on the way"
    assert first.sandbox_id != second.sandbox_id
    assert min(first.phases["run"], second.phases["run"]) > LAUNCHER_SECONDS

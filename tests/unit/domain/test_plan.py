"""Batches partition a round, fit a launcher, and keep within the parallelism."""

from __future__ import annotations

from glovebox.domain.manifest import FrameworkName, Isolation, Suite
from glovebox.domain.plan import (
    MAX_GROUPS_PER_BATCH,
    Group,
    PlannedTest,
    batch_width,
    concurrent_batches,
    group_limit_seconds,
    group_tests,
    split_batches,
)
from hypothesis import given
from hypothesis import strategies as st


def a_suite(isolation: Isolation = Isolation.TEST, timeout: str = "60s") -> Suite:
    return Suite.model_validate(
        {"name": "s", "framework": FrameworkName.PYTEST, "isolation": isolation, "timeout": timeout}
    )


def some_tests(*files: str) -> list[PlannedTest]:
    return [
        PlannedTest(suite="s", test_id=f"{file}::test_{index}", file=file)
        for index, file in enumerate(files)
    ]


def test_isolation_decides_what_shares_a_sandbox() -> None:
    tests = some_tests("a", "b", "a")
    sizes = {
        isolation: [len(g.attempts) for g in group_tests(tests, {"s": a_suite(isolation)})]
        for isolation in Isolation
    }
    assert sizes == {
        Isolation.TEST: [1, 1, 1],
        Isolation.FILE: [2, 1],
        Isolation.SUITE: [3],
    }


def test_what_cannot_run_is_planned_and_not_grouped() -> None:
    test = PlannedTest(suite="s", test_id="a", cannot_run="broken")
    assert group_tests([test], {"s": a_suite()}) == ()


@given(
    st.integers(0, 400),
    st.integers(1, 500),
    st.sampled_from(["1s", "60s", "10m"]),
    st.sampled_from(list(Isolation)),
)
def test_batches_partition_the_groups_evenly(
    count: int, parallelism: int, timeout: str, isolation: Isolation
) -> None:
    suites = {"s": a_suite(isolation, timeout)}
    groups = group_tests(some_tests(*(f"f{i // 7}" for i in range(count))), suites)
    batches = split_batches(groups, parallelism)
    key = [a.key for b in batches for g in b for a in g.attempts]
    assert sorted(key) == sorted(a.key for g in groups for a in g.attempts)
    assert all(0 < len(batch) <= MAX_GROUPS_PER_BATCH for batch in batches)
    sizes = [len(batch) for batch in batches]
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_tests_together_have_their_time_together_up_to_an_hour() -> None:
    assert group_limit_seconds(3, a_suite(timeout="60s")) == 180
    assert group_limit_seconds(100, a_suite(timeout="60s")) == 3600
    assert group_limit_seconds(2, a_suite(timeout="2h")) == 7200


@given(st.integers(1, 10_000))
def test_width_times_batches_never_exceeds_the_parallelism(parallelism: int) -> None:
    at_once = batch_width(parallelism) * concurrent_batches(parallelism)
    assert 0.5 * parallelism <= at_once <= parallelism


def test_no_groups_make_no_batches() -> None:
    assert split_batches([], 4) == []


def test_a_group_is_one_suites() -> None:
    assert {type(g) for g in group_tests(some_tests("a"), {"s": a_suite()})} == {Group}

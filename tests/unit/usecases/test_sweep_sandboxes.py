"""Which sandboxes the sweeper kills: only ours, and only those past their owner."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from glovebox.domain.attempt import Attempt, AttemptState
from glovebox.domain.errors import SandboxUnavailable
from glovebox.domain.outcome import Conclusion, Outcome, RunState
from glovebox.domain.run import Run
from glovebox.ports import Sandbox, SandboxFacts, SandboxRequest
from glovebox.usecases.sweep import GRACE_SECONDS
from glovebox.usecases.sweep_sandboxes import (
    OWN_KILL_SECONDS,
    YOUNG_SECONDS,
    SandboxesSwept,
    SweepSandboxes,
)

from tests.fakes import FakeClock, FolderSandbox, MemoryRuns, MemoryWorkflow
from tests.unit.usecases.driver import Spine

LONG_AGO = 3600.0


@dataclass
class Account:
    """Sandboxes by name, with their creation; `stubborn` ones cannot be killed."""

    live: dict[str, float | None] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    stubborn: set[str] = field(default_factory=set)
    breaks_after: int | None = None

    def create(self, request: SandboxRequest) -> Sandbox:
        raise NotImplementedError

    def attach(self, sandbox_id: str) -> Sandbox:
        raise NotImplementedError

    def list(self) -> Iterator[SandboxFacts]:
        for number, (sandbox_id, created_at) in enumerate(tuple(self.live.items())):
            if number == self.breaks_after:
                message = "half a list"
                raise SandboxUnavailable(message)
            yield SandboxFacts(sandbox_id, created_at, "base")

    def kill(self, sandbox_id: str) -> None:
        if sandbox_id in self.stubborn:
            message = "not today"
            raise SandboxUnavailable(message)
        self.killed.append(sandbox_id)
        del self.live[sandbox_id]


class Net:
    def __init__(self) -> None:
        self.account, self.runs, self.workflow = Account(), MemoryRuns(), MemoryWorkflow()
        self.clock = FakeClock()
        self.sweep = SweepSandboxes(self.account, self.runs, self.workflow, self.clock)

    def run(self, run_id: str, *, driven: bool = True, deadline_in: float | None = None) -> None:
        now = self.clock.now()
        self.runs.create_run(
            Run(
                run_id=run_id,
                name="n",
                door="api",
                created_at=now - LONG_AGO,
                parallelism_asked=1,
                deadline_at=None if deadline_in is None else now + deadline_in,
            )
        )
        if driven:
            self.workflow.start(run_id)

    def finish(self, run_id: str) -> None:
        self.runs.update_run(run_id, state=RunState.FINISHED, conclusion=Conclusion.PASSED)

    def sandbox(self, sandbox_id: str, age: float | None = LONG_AGO) -> None:
        self.account.live[sandbox_id] = None if age is None else self.clock.now() - age

    def attempt(self, run_id: str, sandbox_id: str, *, ended_ago: float | None = None) -> None:
        self.sandbox(sandbox_id)
        attempt = Attempt(
            run_id=run_id,
            suite="s",
            test_id=sandbox_id,
            key=sandbox_id,
            number=1,
            round=1,
            sandbox_id=sandbox_id,
            changed_at=self.clock.now() - (ended_ago or 0),
        )
        if ended_ago is not None:
            ended = {"state": AttemptState.FINISHED, "outcome": Outcome.PASSED}
            attempt = attempt.model_copy(update=ended)
        self.runs.open_attempts([attempt])

    def swept(self, seconds_left: float = 300) -> SandboxesSwept:
        return self.sweep(lambda: seconds_left)


@pytest.fixture
def net() -> Net:
    return Net()


def test_of_250_sandboxes_half_foreign_only_ours_past_their_owner_are_killed(net: Net) -> None:
    net.run("over")
    net.finish("over")
    net.run("on")
    ours = {f"over-{n}" for n in range(100)}
    for number in range(125):
        net.sandbox(f"foreign-{number}", age=None if number % 2 else LONG_AGO * 100)
        if number < 100:
            net.attempt("over", f"over-{number}")
        else:
            net.attempt("on", f"on-{number}")
    swept = net.swept()
    assert (swept.seen, set(swept.killed), swept.complete) == (250, ours, True)
    assert sum(name.startswith("foreign") for name in net.account.killed) == 0
    assert len(net.account.live) == 150


def test_a_sandbox_whose_attempt_has_ended_is_killed_once_its_launcher_had_the_time(
    net: Net,
) -> None:
    net.run("on")
    net.attempt("on", "just-ended", ended_ago=OWN_KILL_SECONDS - 1)
    net.attempt("on", "ended", ended_ago=OWN_KILL_SECONDS)
    net.attempt("on", "running")
    assert net.swept().killed == ["ended"]


def test_a_planners_sandbox_lives_as_long_as_its_time_and_its_run(net: Net) -> None:
    net.run("on")
    net.run("over")
    net.finish("over")
    for run_id, sandbox_id, more in (("on", "in-time", 1), ("on", "late", 0), ("over", "over", 9)):
        net.sandbox(sandbox_id)
        net.runs.note_sandbox(run_id, sandbox_id, net.clock.now() + more)
    assert set(net.swept().killed) == {"late", "over"}


def test_the_sandboxes_of_a_run_die_when_nobody_drives_it_or_its_time_is_over(net: Net) -> None:
    net.run("driven", deadline_in=-GRACE_SECONDS + 1)
    net.run("undriven", driven=False)
    net.run("late", deadline_in=-GRACE_SECONDS)
    for run_id in ("driven", "undriven", "late"):
        net.attempt(run_id, f"of-{run_id}")
    net.attempt("vanished", "of-vanished")
    assert set(net.swept().killed) == {"of-undriven", "of-late", "of-vanished"}


def test_a_run_of_this_moment_may_not_have_its_execution_yet(net: Net) -> None:
    run = Run(
        run_id="new",
        name="n",
        door="api",
        created_at=net.clock.now() - GRACE_SECONDS + 1,
        parallelism_asked=1,
    )
    net.runs.create_run(run)
    net.attempt("new", "of-new")
    assert net.swept().killed == []
    net.clock.advance(1)
    assert net.swept().killed == ["of-new"]


def test_a_young_sandbox_is_left_alone(net: Net) -> None:
    net.run("over")
    net.finish("over")
    net.attempt("over", "young")
    net.sandbox("young", age=YOUNG_SECONDS - 1)
    assert net.swept().killed == []
    net.clock.advance(1)
    assert net.swept().killed == ["young"]


def test_a_kill_that_fails_is_repeated_at_the_next_sweep_and_keeps_no_other_waiting(
    net: Net,
) -> None:
    net.run("over")
    net.finish("over")
    for name in ("a", "b", "c"):
        net.attempt("over", name)
    net.account.stubborn = {"a"}
    swept = net.swept()
    assert (swept.killed, swept.failed) == (["b", "c"], {"a": "not today"})
    net.account.stubborn.clear()
    assert net.swept().killed == ["a"]
    assert net.account.live == {}


def test_what_a_sweep_has_no_time_for_is_the_next_ones(net: Net) -> None:
    net.run("over")
    net.finish("over")
    for name in ("a", "b", "c"):
        net.attempt("over", name)
    seconds = iter([300.0, 100.0, 10.0])
    swept = net.sweep(lambda: next(seconds))
    assert (swept.killed, swept.complete) == (["a", "b"], False)
    assert net.swept().killed == ["c"]


def test_a_list_that_breaks_off_costs_only_its_rest(net: Net) -> None:
    net.run("over")
    net.finish("over")
    for name in ("a", "b", "c"):
        net.attempt("over", name)
    net.account.breaks_after = 2
    swept = net.swept()
    assert (swept.killed, swept.complete, swept.broken) == (["a", "b"], False, "half a list")


def test_whether_a_run_is_over_is_asked_anew_at_every_sweep(net: Net) -> None:
    net.run("on")
    net.attempt("on", "a")
    assert net.swept().killed == []
    net.finish("on")
    assert net.swept().killed == ["a"]


def test_a_planners_sandbox_is_in_the_ledger_before_anything_is_done_in_it(tmp_path: Path) -> None:
    spine = Spine(tmp_path)
    owners = []
    create = spine.sandboxes.create

    def watched(request: SandboxRequest) -> FolderSandbox:
        sandbox = create(request)
        upload = sandbox.upload

        def looked(path: str, content: bytes) -> None:
            owners.append(spine.runs.owner_of(sandbox.sandbox_id))
            upload(path, content)

        sandbox.upload = looked  # type: ignore[method-assign]
        return sandbox

    spine.sandboxes.create = watched  # type: ignore[method-assign]
    run_id = spine.start(
        {
            "source": {"inline": {"files": {"test_a.py": "def test_x(): pass\n"}}},
            "image": {"setup": ["true"]},
            "suites": [{"name": "unit", "framework": "pytest"}],
        }
    )
    before = time.time()
    spine.prepare(run_id)
    set_up = len(owners)
    spine.plan(run_id)
    assert 0 < set_up < len(owners)
    for owner in owners:
        assert owner is not None
        assert owner.run_id == run_id
        assert owner.until is not None
        assert owner.until > before

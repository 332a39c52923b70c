"""The ledger under everything at once: deliveries, duplicates, crashes and lost answers at every
call, late callbacks, cancels, redrives, reducers beside reducers, sweeps, clocks that jump.

`make model EXAMPLES=2000 STEPS=200` plays more of it; each failure is printed as the steps that
lead to it, and `SEED` plays another series.
"""

from __future__ import annotations

import os
from enum import StrEnum
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from glovebox.domain.outcome import Outcome, StopReason
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.faults.invariants import check
from tests.faults.model.processes import Fate, InlineExecutor, PlayedWatch, Process
from tests.faults.model.sandboxes import kind_of
from tests.faults.model.service import LAMBDA_SECONDS, Execution, Service
from tests.faults.witness import FakeWitness

EXAMPLES = int(os.environ.get("EXAMPLES", "200"))
STEPS = int(os.environ.get("STEPS", "100"))
SEED = os.environ.get("SEED") or None

KINDS = ["pass", "fail", "flaky", "slow", "lost", "liar", "hang"]
TRUTH = {
    "pass": Outcome.PASSED,
    "slow": Outcome.PASSED,
    "fail": Outcome.FAILED,
    "hang": Outcome.TIMED_OUT,
    "lost": Outcome.ERRORED,
    "liar": Outcome.ERRORED,
}


class Weather(StrEnum):
    """What happens around the processes."""

    MAP_TIMES_OUT = "the map times out"
    RUN_CANCELLED = "a run is cancelled"
    EXECUTION_ABORTED = "the execution is aborted"
    SWEEPER = "the sweeper comes"
    ANOTHER_REDUCER = "another reducer comes"
    SANDBOX_DIES = "a sandbox dies"
    TIME_PASSES = "time passes"
    CLOCK_IS_SET = "the clock is set"


WEATHER = [
    *[Weather.SANDBOX_DIES, Weather.TIME_PASSES, Weather.CLOCK_IS_SET] * 4,
    *[Weather.ANOTHER_REDUCER, Weather.MAP_TIMES_OUT] * 2,
    *[Weather.RUN_CANCELLED, Weather.EXECUTION_ABORTED, Weather.SWEEPER],
]
WELL_MOSTLY = st.sampled_from([Fate.WELL] * 12 + list(Fate))


def manifest(kinds: list[str], options: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "model",
        "source": {"inline": {"files": {"a": "b"}}},
        "parallelism": 8,
        "timeout": "2h",
        "fail_fast": options["fail_fast"],
        "suites": [
            {
                "name": "unit",
                "framework": "command",
                "command": ["run", "{test_id}"],
                "tests": [f"{kind}-{number}" for number, kind in enumerate(kinds)],
                "timeout": "60s",
                "retries": options["retries"],
            }
        ],
    }


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.service = Service()
        played.clock = self.service.clock
        self.witness = FakeWitness(self.service.runs, self.service.artifacts)
        self.witness.notices = self.service.notices
        self.witness.executions = self.service.sandboxes.executions
        self.truth: dict[str, Outcome] = {}

    # -- what happens in the world

    @initialize(
        runs=st.lists(
            st.tuples(
                st.lists(st.sampled_from(KINDS), min_size=2, max_size=8),
                st.fixed_dictionaries({"retries": st.integers(0, 2), "fail_fast": st.booleans()}),
            ),
            min_size=1,
            max_size=2,
        ),
        begun=st.sampled_from([True, True, True, False]),
    )
    def runs_are_accepted(self, runs: list[tuple[list[str], dict[str, Any]]], begun: bool) -> None:
        for number, (kinds, options) in enumerate(runs):
            self.service.submit(f"r{number}", manifest(kinds, options))
            ids = [f"{kind}-{place}" for place, kind in enumerate(kinds)]
            self.truth |= {i: TRUTH[kind_of(i)] for i in ids if kind_of(i) in TRUTH}
        for execution in self.service.executions.values():
            while begun and execution.state in ("prepare", "plan"):
                self._advance_well(execution)

    def _advance_well(self, execution: Execution) -> None:
        if execution.invocation is not None:
            execution.invocation.finish()
        self.service.advance(execution)

    @rule(which=st.integers(0, 1), well=st.booleans())
    def the_state_machine_goes_on(self, which: int, well: bool) -> None:
        execution = self._execution(which)
        self.service.advance(execution)
        if well:
            self._advance_well(execution)

    @rule(which=st.integers(0, 1), steps=st.integers(3, 12))
    def a_round_is_over(self, which: int, steps: int) -> None:
        """The Map waits no longer, whoever is still at work; and on it goes, in calm."""
        execution = self._execution(which)
        self.service.time_out_map(execution)
        for _ in range(steps):
            self._advance_well(execution)

    @rule(
        which=st.integers(0, 9),
        seconds=st.sampled_from([LAMBDA_SECONDS] * 3 + [4.0, 12.0]),
        count=st.integers(0, 40),
    )
    @precondition(lambda self: self.service.queue.fresh)
    def a_message_is_delivered(self, which: int, seconds: float, count: int) -> None:
        fresh = self.service.queue.fresh
        launcher = self.service.deliver(fresh[which % len(fresh)], seconds)
        for _ in range(count):
            launcher.step(Fate.WELL)

    @rule(which=st.integers(0, 99), count=st.integers(0, 40))
    @precondition(lambda self: self.service.queue.bodies)
    def a_message_is_delivered_again(self, which: int, count: int) -> None:
        """A duplicate, a late one, one of a dead-letter queue that is redriven."""
        bodies = self.service.queue.bodies
        launcher = self.service.deliver(bodies[which % len(bodies)])
        for _ in range(count):
            launcher.step(Fate.WELL)

    @rule(which=st.integers(0, 9), count=st.integers(1, 25), last=WELL_MOSTLY)
    @precondition(lambda self: self._going())
    def a_process_goes_on(self, which: int, count: int, last: Fate) -> None:
        process = self._process(which)
        for _ in range(count - 1):
            process.step(Fate.WELL)
        process.step(last)

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self._going())
    def a_process_goes_on_to_its_end(self, which: int) -> None:
        self._process(which).finish()

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self._going())
    def a_watch_looks(self, which: int) -> None:
        self._process(which).look()

    @rule(which=st.integers(0, 9), what=st.sampled_from(WEATHER))
    def something_else_happens(self, which: int, what: Weather) -> None:
        service, execution = self.service, self._execution(which)
        match what:
            case Weather.MAP_TIMES_OUT:
                service.time_out_map(execution)
            case Weather.RUN_CANCELLED:
                service.runs.request_stop(execution.run_id, StopReason.CANCELLED)
            case Weather.EXECUTION_ABORTED:
                service.abort(execution)
            case Weather.SWEEPER:
                service.sweep()
            case Weather.ANOTHER_REDUCER if execution.state in ("reduce", "over"):
                service.reduce(execution.run_id, "broken" if which % 2 else None)
            case Weather.SANDBOX_DIES if service.sandboxes.live:
                living = sorted(service.sandboxes.live)
                service.sandboxes.kill(living[which % len(living)])
            case Weather.TIME_PASSES:
                service.clock.advance(10.0**which % 997)
            case Weather.CLOCK_IS_SET:
                service.clock.time += (-3600.0, 3600.0, -1.0, 1.0)[which % 4]
            case _:
                pass

    def _execution(self, which: int) -> Execution:
        executions = list(self.service.executions.values())
        return executions[which % len(executions)]

    def _process(self, which: int) -> Process:
        going = self._going()
        return going[which % len(going)]

    def _going(self) -> list[Process]:
        return [process for process in self.service.processes if not process.ended]

    # -- what holds all the while, and in the end

    @invariant()
    def the_laws_hold(self) -> None:
        played.steps += 1
        check(self.witness.look(self.service.clock.now()), truth=self.truth)
        for process in self.service.processes:
            self._only_what_may_be_raised(process)
        self.service.processes = self._going()

    def _only_what_may_be_raised(self, process: Process) -> None:
        """What a function lets out is told by its infrastructure, not made by itself."""
        error = process.error
        assert not isinstance(error, (AssertionError, AttributeError, KeyError, TypeError)), error

    def teardown(self) -> None:
        """The storm is over: whatever stands goes on, whatever waits is done, and all adds up."""
        try:
            self._calm()
        finally:
            played.executions += sum(self.service.sandboxes.executions.values())
            for process in self._going():
                while not process.ended:
                    process.step(Fate.CRASH_BEFORE)

    def _calm(self) -> None:
        service = self.service
        for process in self._going():
            process.finish()
        for _ in range(1000):
            for execution in service.executions.values():
                self._advance_well(execution)
            while service.queue.fresh:
                service.deliver(service.queue.fresh[0]).finish()
            for execution in service.executions.values():
                # A launcher that vanished answers no more.
                service.time_out_map(execution)
            if all(execution.state == "over" for execution in service.executions.values()):
                break
        else:
            raise AssertionError("the state machines never end")
        service.clock.advance(10_000)
        service.sweep().finish()
        for body in list(service.queue.bodies):
            service.deliver(body).finish()
        for run_id in service.executions:
            service.reduce(run_id).finish()
        assert not service.sandboxes.live
        world = self.witness.look(service.clock.now())
        check(world, over=True, truth=self.truth)
        assert len(world.runs) == len(service.executions)


played: Any = SimpleNamespace(clock=None, steps=0, executions=0)


@pytest.mark.timeout(900)
def test_whatever_happens_the_laws_hold() -> None:
    Process.current = None
    time_of_the_model = SimpleNamespace(time=lambda: float(played.clock.now()))
    plays = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=SEED is None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    machine = Model if SEED is None else seed(int(SEED))(Model)
    with (
        patch("glovebox.usecases.lanes.ThreadPoolExecutor", InlineExecutor),
        patch("glovebox.usecases.launch.RunWatch", PlayedWatch),
        patch("glovebox.usecases.sandbox_scope.RunWatch", PlayedWatch),
        patch("tests.fakes.time", time_of_the_model),
    ):
        run_state_machine_as_test(machine, settings=plays)
    print(f"{played.steps} steps, {played.executions} executions of tests")
    # A model in which little happens holds every law.
    assert played.steps > 50 * EXAMPLES
    assert played.executions > 3 * EXAMPLES

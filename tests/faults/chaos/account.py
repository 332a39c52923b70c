"""From what was seen to the figures: counted here, from outside, and believed of nobody."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from glovebox.domain.attempt import Attempt
from glovebox.domain.outcome import Outcome

from tests.faults.chaos.proxy import AttemptKey
from tests.faults.chaos.suite import FLAKY_PASSES_FROM, TEST_SECONDS, behaviour_of
from tests.faults.invariants import SPOKEN, Invariant, Violation, violations
from tests.faults.world import RunView, World

IDLE_SECONDS = 2.0
"""Between the end of a sandbox's use and its end: less is not counted as orphaned."""


@dataclass(frozen=True)
class SandboxLife:
    """A sandbox, as the provider listed it again and again."""

    sandbox_id: str
    first_seen: float
    last_seen: float
    """Seconds since the epoch, both."""


@dataclass(frozen=True)
class Seen:
    """Everything that the figures are made of."""

    world: World
    expected: Mapping[str, Collection[str]]
    """By the name of a run, the ids of the tests that it was given."""
    executed: Mapping[AttemptKey, int]
    lives: Sequence[SandboxLife] = ()
    last_asked: Mapping[str, float] = field(default_factory=dict)
    """By sandbox, when the product last wanted something of it."""
    harmed_at: Mapping[str, float] = field(default_factory=dict)
    """By sandbox, when something was done to it."""
    crashed_at: Sequence[float] = ()
    """When launchers were ended."""
    injected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """What `make chaos` prints."""

    false_passes: list[str]
    lost_results: list[str]
    changed_results: list[str]
    double_executions: list[str]
    orphan_sandboxes: list[str]
    other_violations: list[str]
    tests: int
    executions: int
    extra_executions: int
    given_up: int
    """Tests whose result is errored, because infrastructure lost too many of their attempts."""
    overtaken: int
    """Tests that a busy machine did not let end within their time: told as timed out, by right."""
    unplanned: int
    """Tests of runs that ended errored, and say so, before they had a plan."""
    orphan_seconds: float
    detection: list[float]
    recovery: list[float]
    injected: Mapping[str, int]

    @property
    def zero(self) -> dict[str, list[str]]:
        """The figures that must be 0, with what speaks against it."""
        return {
            "false passes": self.false_passes,
            "lost results": self.lost_results,
            "changed results": self.changed_results,
            "double executions": self.double_executions,
            "orphan sandboxes": self.orphan_sandboxes,
            "other violations": self.other_violations,
        }

    @property
    def holds(self) -> bool:
        """Whether all of them are."""
        return not any(self.zero.values()) and self.tests > 0

    def lines(self) -> list[str]:
        """For people."""
        counted = [f"{name:24}{len(words)}" for name, words in self.zero.items()]
        told = [f"    {words}" for listed in self.zero.values() for words in listed[:10]]
        extra = self.extra_executions / max(1, self.tests)
        return [
            *counted,
            *told,
            f"{'tests':24}{self.tests}",
            f"{'executions':24}{self.executions}, extra per test {extra:.3f}",
            f"{'given up':24}{self.given_up} tests errored, and told so",
            f"{'overtaken':24}{self.overtaken} tests timed out on a busy machine",
            f"{'unplanned':24}{self.unplanned} tests of runs that ended errored before their plan",
            f"{'orphan-seconds':24}{self.orphan_seconds:.0f}"
            f" ({1000 * self.orphan_seconds / max(1, self.tests):.0f} per 1000 tests)",
            f"{'detection p95':24}{_p95(self.detection)}",
            f"{'recovery p95':24}{_p95(self.recovery)}",
            f"{'faults injected':24}{sum(self.injected.values())}",
            *(f"    {count:6}  {kind}" for kind, count in sorted(self.injected.items())),
        ]


def figures(seen: Seen) -> Figures:
    """Count."""
    views = [view for view in seen.world.runs if view.run.name in seen.expected]
    planned = [view for view in views if view.planned]
    ids = {test_id for view in views for test_id in seen.expected[view.run.name]}
    rows = [attempts[-1] for view in views for attempts in view.attempts]
    slow = {row.test_id for row in rows if _overtaken(row)}
    truth = {i: told for i in ids - slow if (told := behaviour_of(i).truth) is not None}
    found = violations(seen.world, over=True, truth=truth)
    tests = sum(len(seen.expected[view.run.name]) for view in planned)
    executions = sum(seen.executed.values())
    needed = sum(behaviour_of(i).attempts for view in planned for i in seen.expected[view.run.name])
    detection, recovery = _delays(seen, rows)
    return Figures(
        false_passes=[*_told(found, Invariant.PROOF), *_impossible(views)],
        overtaken=len(slow),
        lost_results=[
            *_told(found, Invariant.ONE_RESULT, Invariant.COUNTS),
            *_missing(seen, views),
        ],
        changed_results=_told(found, Invariant.FINAL),
        double_executions=[*_told(found, Invariant.ONCE), *_twice(seen), *_unclaimed(seen, rows)],
        orphan_sandboxes=_told(found, Invariant.NO_ORPHANS),
        other_violations=_told(found, Invariant.QUEUES, Invariant.ONE_NOTICE, Invariant.NO_BAIT),
        tests=tests,
        executions=executions,
        extra_executions=max(0, executions - needed),
        given_up=sum(_given_up(view) for view in planned),
        unplanned=sum(len(seen.expected[v.run.name]) for v in views if not v.planned),
        orphan_seconds=_orphan_seconds(seen, rows),
        detection=detection,
        recovery=recovery,
        injected=dict(seen.injected),
    )


def _told(found: Iterable[Violation], *kinds: Invariant) -> list[str]:
    return [str(violation) for violation in found if violation.invariant in kinds]


def _tests(view: RunView) -> list[dict[str, object]]:
    return list(json.loads(view.reports[-1])["tests"]) if view.reports else []


def _overtaken(row: Attempt) -> bool:
    """Whether its process was stopped at the limit, though such a test does not last so long."""
    return (
        row.outcome is Outcome.TIMED_OUT
        and behaviour_of(row.test_id).truth is not Outcome.TIMED_OUT
        and row.phases.get("run", 0.0) >= TEST_SECONDS
    )


def _impossible(views: Iterable[RunView]) -> list[str]:
    """Passes of an attempt that cannot pass, whatever the test comes to in the end."""
    return [
        f"{row.run_id}: {row.test_id}#{row.number} passed, and its first attempt always fails"
        for view in views
        for row in (rows[-1] for rows in view.attempts)
        if "_flaky_" in row.test_id
        and row.outcome is Outcome.PASSED
        and row.number < FLAKY_PASSES_FROM
    ]


def _missing(seen: Seen, views: Sequence[RunView]) -> list[str]:
    """Tests that were handed in and have not exactly one result in a run that had a plan; and
    whole runs that never came to be."""
    found = []
    for view in views:
        told = Counter(str(test["test_id"]) for test in _tests(view))
        for test_id in sorted(seen.expected[view.run.name]) if view.planned else ():
            if told[test_id] != 1:
                found.append(f"{view.run.run_id}: {test_id} has {told[test_id]} results")
    names = {view.run.name for view in views}
    return found + [f"no run {name}" for name in sorted(set(seen.expected) - names)]


def _twice(seen: Seen) -> list[str]:
    return [
        f"{run_id}: {test_id}#{number} executed {count} times"
        for (run_id, test_id, number), count in sorted(seen.executed.items())
        if count > 1
    ]


def _unclaimed(seen: Seen, rows: Iterable[Attempt]) -> list[str]:
    claimed = {(row.run_id, row.test_id, row.number) for row in rows}
    return [
        f"{run_id}: {test_id}#{number} executed without a claim"
        for run_id, test_id, number in sorted(set(seen.executed) - claimed)
    ]


def _given_up(view: RunView) -> int:
    return sum(
        test["result"] == "errored"
        and behaviour_of(str(test["test_id"])).truth is not Outcome.ERRORED
        for test in _tests(view)
    )


def _orphan_seconds(seen: Seen, rows: Iterable[Attempt]) -> float:
    """Sandbox-seconds after anybody had a use for them, as the list of the living shows."""
    closed = {row.sandbox_id: row.changed_at for row in rows if row.outcome is not None}
    total = 0.0
    for life in seen.lives:
        name = life.sandbox_id
        used_until = max(life.first_seen, closed.get(name, 0.0), seen.last_asked.get(name, 0.0))
        idle = life.last_seen - used_until
        total += idle if idle > IDLE_SECONDS else 0.0
    return total


def _delays(seen: Seen, rows: Sequence[Attempt]) -> tuple[list[float], list[float]]:
    """From a harm to the moment when the loss was recorded, and to the result of another attempt.

    A harm is what was done to the attempt's own sandbox, or else the last end of a launcher while
    the attempt was under way. Losses without either (a creation that was refused) are left out.
    """
    detection, recovery = [], []
    for row in rows:
        if row.outcome is not Outcome.ERRORED or row.fault is None or row.started_at is None:
            continue
        crashes = [at for at in seen.crashed_at if row.started_at <= at <= row.changed_at]
        harm = seen.harmed_at.get(row.sandbox_id or "") or max(crashes, default=None)
        if harm is None or not row.started_at <= harm <= row.changed_at:
            continue
        detection.append(row.changed_at - harm)
        spoke = [
            other.changed_at
            for other in rows
            if (other.run_id, other.key) == (row.run_id, row.key)
            and other.number > row.number
            and other.outcome in SPOKEN
        ]
        if spoke:
            recovery.append(min(spoke) - harm)
    return detection, recovery


def _p95(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none seen"
    ordered = sorted(seconds)
    value = ordered[min(len(ordered) - 1, math.ceil(0.95 * len(ordered)) - 1)]
    return f"{value:.1f} s of {len(ordered)} (longest {ordered[-1]:.1f} s)"

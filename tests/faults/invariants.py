"""What must hold whatever breaks, and the one checker of it.

The checker reads the documents by itself: a mistake in the product's own counting must not hide
behind the same mistake here. `tests/faults/witness.py` fills the world that it looks at.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree

from glovebox.domain.attempt import AttemptState
from glovebox.domain.outcome import Conclusion, Outcome

from tests.faults.world import RunView, World

SPOKEN = ("passed", "failed", "timed_out", "skipped")
"""Outcomes in which the test itself spoke."""
RESULTS = (*SPOKEN, "errored", "cancelled")
LATE_SANDBOX_SECONDS = 60
"""How long after its time to live the provider may take to end a sandbox."""


class Invariant(StrEnum):
    """The names by which violations are told."""

    ONE_RESULT = "I1"
    """Each planned test has exactly one result."""
    FINAL = "I2"
    """What was recorded never changes."""
    PROOF = "I3"
    """Nothing passes without proof, or though it does not really pass."""
    NO_ORPHANS = "I4"
    """No sandbox outlives its owner, or its time to live."""
    QUEUES = "I5"
    """No message is left; a dead letter's run has ended all the same."""
    COUNTS = "I6"
    """Plan, report and ledger count the same."""
    ONE_NOTICE = "I7"
    """Subscribers are told one ending, however often."""
    NO_BAIT = "I8"
    """No secret in anything that comes out."""
    ONCE = "once"
    """An attempt executes at most once."""


@dataclass(frozen=True)
class Violation:
    """One thing that must not be."""

    invariant: Invariant
    run_id: str
    words: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.invariant.name}: {self.run_id}: {self.words}"


def violations(
    world: World,
    *,
    over: bool = False,
    broken: bool = False,
    truth: Mapping[str, Outcome] | None = None,
    baits: Collection[str] = (),
) -> list[Violation]:
    """Everything in the world that must not be.

    `over`: whether nothing moves any more, so that every run must have ended and nothing may be
    left. `broken`: whether somebody vanished who was to kill a sandbox, so that its time to live
    may have to end it. `truth`: how tests really end, by their ids. `baits`: what must not come
    out, in any encoding that it could take by itself.
    """
    found: list[Violation] = []
    for view in world.runs:
        found += _history(view)
        found += _proof(view, truth or {})
        if view.run.is_finished:
            found += _account(view)
        elif over:
            found.append(Violation(Invariant.ONE_RESULT, view.run.run_id, "never finished"))
    found += _sandboxes(world, over, broken)
    found += _queues(world, over)
    found += _notices(world, over)
    found += _baits(world, baits)
    found += [
        Violation(Invariant.ONCE, run_id, f"{test_id}#{number} executed {count} times")
        for (run_id, test_id, number), count in world.executions.items()
        if count > 1
    ]
    return found


def check(
    world: World,
    *,
    over: bool = False,
    broken: bool = False,
    truth: Mapping[str, Outcome] | None = None,
    baits: Collection[str] = (),
) -> None:
    """Raise AssertionError that names every violation, if there is any."""
    found = violations(world, over=over, broken=broken, truth=truth, baits=baits)
    assert not found, "\n".join(map(str, found))


def _history(view: RunView) -> Iterator[Violation]:
    run_id = view.run.run_id
    finished = next((run for run in view.runs if run.is_finished), None)
    if finished is not None and view.run != finished:
        yield Violation(Invariant.FINAL, run_id, f"finished as {finished}, now {view.run}")
    for rows in view.attempts:
        ended = next((row for row in rows if row.outcome is not None), None)
        if ended is not None and rows[-1] != ended:
            words = f"{ended.test_id}#{ended.number} was {ended.outcome}, now {rows[-1].outcome}"
            yield Violation(Invariant.FINAL, run_id, words)
        if (rows[-1].state is AttemptState.FINISHED) != (rows[-1].outcome is not None):
            words = f"{rows[-1].test_id}#{rows[-1].number}: state and outcome disagree"
            yield Violation(Invariant.ONE_RESULT, run_id, words)
    if len(set(view.reports)) > 1:
        words = f"{len(set(view.reports))} different reports were written"
        yield Violation(Invariant.FINAL, run_id, words)


def _proof(view: RunView, truth: Mapping[str, Outcome]) -> Iterator[Violation]:
    rows = [rows[-1] for rows in view.attempts]
    failed_in = {(r.sandbox_id, r.number) for r in rows if r.outcome is Outcome.FAILED}
    for row in rows:
        if row.outcome is not Outcome.PASSED:
            continue
        # A test may pass in a process that ends with 1 only where another one failed in it.
        proven = row.exit_code == 0 or (
            row.exit_code == 1 and (row.sandbox_id, row.number) in failed_in
        )
        if not proven or row.sandbox_id is None or row.fault is not None:
            words = f"{row.test_id}#{row.number} passed without proof (exit code {row.exit_code})"
            yield Violation(Invariant.PROOF, row.run_id, words)
    passed = {row.test_id for row in rows if row.outcome is Outcome.PASSED}
    for test in _tests(view):
        told, really = test["result"], truth.get(test["test_id"])
        if told == "passed" and not test["cached"] and test["test_id"] not in passed:
            words = f"{test['test_id']} passed in no attempt"
            yield Violation(Invariant.PROOF, view.run.run_id, words)
        if really is not None and told in SPOKEN and told != really.value:
            words = f"{test['test_id']} is told as {told}, and really is {really.value}"
            yield Violation(Invariant.PROOF, view.run.run_id, words)


def _account(view: RunView) -> Iterator[Violation]:
    """Plan, report, JUnit, the run's own row and the attempts' rows of a finished run."""
    run = view.run
    if run.conclusion is Conclusion.REJECTED:
        return
    if not view.reports:
        yield Violation(Invariant.ONE_RESULT, run.run_id, "finished without a report")
        return
    told = Counter((t["suite"], t["test_id"]) for t in _tests(view))
    planned = {(test.suite, test.test_id) for test in view.planned}
    for test in sorted(planned | set(told)):
        if told[test] != 1 or test not in planned:
            words = f"{test} has {told[test]} results, planned: {test in planned}"
            yield Violation(Invariant.ONE_RESULT, run.run_id, words)
    for t in _tests(view):
        if t["result"] not in RESULTS:
            words = f"{t['test_id']} ends as {t['result']!r}"
            yield Violation(Invariant.ONE_RESULT, run.run_id, words)
    yield from (Violation(Invariant.COUNTS, run.run_id, words) for words in _counts(view))


def _counts(view: RunView) -> Iterator[str]:
    report, run = json.loads(view.reports[-1]), view.run
    summary, results = report["summary"], Counter(t["result"] for t in report["tests"])
    if not summary["total"] == len(view.planned) == len(report["tests"]) == results.total():
        yield f"planned {len(view.planned)}, told {len(report['tests'])}, {summary}"
    yield from (f"{r}: {results[r]} told, {summary}" for r in RESULTS if results[r] != summary[r])
    if run.summary != summary or run.conclusion != report["conclusion"]:
        yield f"the run says {run.conclusion} {run.summary}, the report {summary}"
    rows = {(a[-1].suite, a[-1].test_id, a[-1].number): a[-1] for a in view.attempts}
    told = {
        (t["suite"], t["test_id"], a["number"]): a for t in report["tests"] for a in t["attempts"]
    }
    for key, row in rows.items():
        if row.outcome is not None and (key not in told or told[key]["outcome"] != row.outcome):
            yield f"{key} is recorded as {row.outcome}, and told as {told.get(key)}"
    yield from (f"{key} is told and not recorded" for key in told if key not in rows)
    for test in report["tests"]:
        spoken = [a["outcome"] for a in test["attempts"] if a["outcome"] in SPOKEN]
        if test["result"] in SPOKEN and not test["cached"] and test["result"] not in spoken[-1:]:
            yield f"{test['test_id']} is {test['result']}, its attempts say {spoken}"
        if test["result"] not in SPOKEN and spoken:
            yield f"{test['test_id']} is {test['result']}, though an attempt {spoken[-1]}"
    if view.junit is not None:
        cases = sum(1 for _ in ElementTree.fromstring(view.junit).iter("testcase"))
        if cases != summary["total"]:
            yield f"{cases} cases in junit.xml, {summary['total']} tests"


def _sandboxes(world: World, over: bool, broken: bool) -> Iterator[Violation]:
    owners = {
        row.sandbox_id: view.run
        for view in world.runs
        for row in (rows[-1] for rows in view.attempts)
        if row.sandbox_id is not None
    }
    for sandbox in world.sandboxes:
        owner = owners.get(sandbox.sandbox_id)
        run_id = owner.run_id if owner is not None else "-"
        words = f"sandbox {sandbox.sandbox_id} lives"
        if sandbox.expires_at is None:
            yield Violation(Invariant.NO_ORPHANS, run_id, f"{words} without an end")
        elif world.now > sandbox.expires_at + LATE_SANDBOX_SECONDS:
            yield Violation(Invariant.NO_ORPHANS, run_id, f"{words} past its time")
        elif owner is not None and owner.is_finished and not broken:
            yield Violation(Invariant.NO_ORPHANS, run_id, f"{words}, and its run is finished")
        elif over:
            yield Violation(Invariant.NO_ORPHANS, run_id, f"{words} when all is over")


def _queues(world: World, over: bool) -> Iterator[Violation]:
    ended = {view.run.run_id for view in world.runs if view.run.is_finished}
    for queue in world.queues:
        if queue.dead_letters is None:
            if over and queue.depth:
                words = f"{queue.depth} messages left in {queue.name}"
                yield Violation(Invariant.QUEUES, "-", words)
            continue
        for body in queue.dead_letters:
            run_id = _run_id(body)
            if over and run_id not in ended:
                words = f"a dead letter in {queue.name}, and its run goes on: {body[:200]}"
                yield Violation(Invariant.QUEUES, run_id, words)


def _run_id(body: str) -> str:
    try:
        return str(json.loads(body)["run_id"])
    except (ValueError, KeyError, TypeError):
        return "-"


def _notices(world: World, over: bool) -> Iterator[Violation]:
    if world.notices is None:
        return
    told: dict[str, set[str]] = {}
    for body in world.notices:
        told.setdefault(_run_id(body), set()).add(body)
    for view in world.runs:
        run, bodies = view.run, told.get(view.run.run_id, set())
        if len(bodies) > 1:
            words = f"told {len(bodies)} different endings"
            yield Violation(Invariant.ONE_NOTICE, run.run_id, words)
        for body in bodies:
            document = json.loads(body)
            # A refused manifest has no tests to be counted.
            if (document["conclusion"], document.get("summary")) != (run.conclusion, run.summary):
                yield Violation(Invariant.ONE_NOTICE, run.run_id, f"told otherwise: {body[:300]}")
        if over and not bodies:
            yield Violation(Invariant.ONE_NOTICE, run.run_id, "nobody was told")


def _baits(world: World, baits: Collection[str]) -> Iterator[Violation]:
    if not baits:
        return
    forms = {form for bait in baits for form in forms_of(bait)}
    for place, text in world.texts:
        if any(form in text for form in forms):
            yield Violation(Invariant.NO_BAIT, "-", f"bait in {place}")


def forms_of(bait: str) -> set[bytes]:
    """A secret as it is, in base64 at each of the three offsets, in hex, and URL-encoded."""
    plain = bait.encode()
    forms = {plain, plain.hex().encode(), urllib.parse.quote(bait, safe="").encode()}
    for offset in range(3):
        # What the neighbours have no part in: the first and last digits depend on them.
        encoded = base64.b64encode(b"\0" * offset + plain).rstrip(b"=")
        forms.add(encoded[(offset * 8 + 5) // 6 : -1])
    return forms


def _tests(view: RunView) -> list[dict[str, Any]]:
    return list(json.loads(view.reports[-1])["tests"]) if view.reports else []

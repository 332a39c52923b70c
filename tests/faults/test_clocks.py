"""Clocks that jump: an hour on or back at each call of a run's way to the outside."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from glovebox.domain import keys
from glovebox.usecases.account import RunAccount

from tests.faults.interposed import Around
from tests.faults.invariants import check
from tests.faults.model.service import LIMIT, Ports, Service
from tests.faults.witness import FakeWitness

HOUR = 3600.0
KINDS = ["pass", "fail", "flaky", "slow", "lost", "liar", "hang"]
CALLS = range(0, 160, 7)


def drive(around: Around) -> Service:
    """A run from its manifest to its report, in this thread."""
    service = Service()
    service.submit("r", MANIFEST)
    ports = Ports(service, around)
    ports.prepare()("r")
    answer = ports.plan()("r")
    while answer.batches:
        for ticket in json.loads(service.artifacts.get(answer.batches_key, limit=LIMIT)):
            token = service.token()
            service.workflow.waiting.add(token)
            body = {"run_id": "r", "batch_id": ticket["batch_id"], "token": token}
            service.queue.send(json.dumps({**body, "key": ticket["key"]}), delay_seconds=0)
        while service.queue.fresh:
            service.launch_here(service.queue.fresh[0], ports)
        answer = ports.settle()("r", answer.round)
    service.notices.append(ports.reduce()("r").message)
    return service


MANIFEST = {
    "version": 1,
    "name": "clocks",
    "source": {"inline": {"files": {"a": "b"}}},
    # One after another, so that a call's number names the same call each time.
    "parallelism": 1,
    "timeout": "12h",
    "suites": [
        {
            "name": "unit",
            "framework": "command",
            "command": ["run", "{test_id}"],
            "tests": [f"{kind}-0" for kind in KINDS],
            "timeout": "60s",
            "retries": 1,
        }
    ],
}


def jumping(number: int, seconds: float, clock: Callable[[], Any]) -> Around:
    calls: Iterator[int] = iter(range(10**9))

    def around(_: str, call: Callable[[], Any]) -> Any:
        clock().advance(0.25)
        if next(calls) == number:
            clock().time += seconds
        return call()

    return around


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> list[Service]:
    made: list[Service] = []
    begin = Service.__init__

    def noted(service: Service) -> None:
        begin(service)
        made.append(service)

    monkeypatch.setattr(Service, "__init__", noted)
    return made


@pytest.mark.parametrize("seconds", [-HOUR, HOUR, -1.0])
def test_a_clock_that_jumps_makes_no_time_negative(services: list[Service], seconds: float) -> None:
    for number in CALLS:
        service = drive(jumping(number, seconds, lambda: services[-1].clock))
        check(FakeWitness(service.runs, service.artifacts).look(service.clock.now()))
        report = json.loads(service.artifacts.objects[keys.report_key("r", "report.json")])
        account = RunAccount(service.runs, service.artifacts)
        for where, value in numbers([report, account.run("r", "me")]):
            assert value >= 0, (number, where, value)
        assert report["started_at"] <= report["finished_at"]
        told = account.run("r", "me")
        assert told["started_at"] <= told["finished_at"]
        junit = service.artifacts.objects[keys.report_key("r", "junit.xml")].decode()
        assert not re.search(r'time="-', junit)
        for attempt in service.runs.attempts("r"):
            longest = max(attempt.phases.values(), default=0.0)
            assert longest < 100, f"a phase of {longest} s, by a clock that was set"


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_a_clock_that_jumps_changes_no_result(services: list[Service], seconds: float) -> None:
    expected = results(drive(jumping(-1, 0.0, lambda: services[-1].clock)))
    assert set(expected.values()) == {"passed", "failed", "errored", "timed_out"}
    for number in CALLS:
        service = drive(jumping(number, seconds, lambda: services[-1].clock))
        assert results(service) == expected, f"jumped at call {number}"


def results(service: Service) -> dict[str, str]:
    report = json.loads(service.artifacts.objects[keys.report_key("r", "report.json")])
    return {test["test_id"]: test["result"] for test in report["tests"]}


def numbers(document: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a document that stands for a time or a count."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from numbers(value, f"{where}.{name}")
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from numbers(value, f"{where}[{index}]")
    elif isinstance(document, int | float):
        yield where, document

"""A batch whose launcher did its work and could not say so: the results are there all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from glovebox.domain import keys

from tests.faults.invariants import check
from tests.faults.model.processes import StoreDown
from tests.faults.model.service import LIMIT, Ports, Service
from tests.faults.witness import FakeWitness
from tests.stack.definitions import states

KINDS = ["pass", "fail", "flaky", "slow", "skip"]
TESTS = [f"{kind}-{number}" for number, kind in enumerate(KINDS)]
MANIFEST = {
    "version": 1,
    "name": "callbacks",
    "source": {"inline": {"files": {"a": "b"}}},
    "parallelism": 2,
    "suites": [
        {
            "name": "unit",
            "framework": "command",
            "command": ["run", "{test_id}"],
            "tests": TESTS,
            "timeout": "60s",
            "retries": 1,
        }
    ],
}


class FailingCall:
    """Lets one kind of call fail so many times, after its effect or before it."""

    def __init__(self, name: str, times: int, *, after: bool) -> None:
        self._name, self._after = name, after
        self.left, self.failed = times, 0

    def __call__(self, name: str, call: Callable[[], Any]) -> Any:
        if name != self._name or self.left == 0:
            return call()
        self.left -= 1
        self.failed += 1
        if self._after:
            call()
        raise StoreDown(name)


def drive(around: FailingCall) -> Service:
    """A run, as the state machine drives it: a batch that does not answer is settled without,
    and its message comes back from the queue afterwards."""
    service = Service()
    service.submit("r", MANIFEST)
    ports = Ports(service, around)
    ports.prepare()("r")
    answer = ports.plan()("r")
    bodies: list[str] = []
    while answer.batches:
        for ticket in json.loads(service.artifacts.get(answer.batches_key, limit=LIMIT)):
            token = service.token()
            service.workflow.waiting.add(token)
            body = {"run_id": "r", "batch_id": ticket["batch_id"], "token": token}
            service.queue.send(json.dumps({**body, "key": ticket["key"]}), delay_seconds=0)
        while service.queue.fresh:
            bodies.append(service.queue.fresh[0])
            deliver(service, bodies[-1], ports)
        service.workflow.waiting.clear()
        for sent in bodies:
            deliver(service, sent, ports)
        answer = ports.settle()("r", answer.round)
    service.notices.append(ports.reduce()("r").message)
    for sent in bodies:
        deliver(service, sent, ports)
    return service


def deliver(service: Service, body: str, ports: Ports) -> None:
    with suppress(StoreDown):  # the function fails, and the message goes back to the queue
        service.launch_here(body, ports)


@pytest.mark.parametrize("after", [False, True], ids=["unsaid", "unheard"])
@pytest.mark.parametrize("times", [1, 5, 10**6])
def test_an_answer_that_fails_costs_no_result_and_no_execution(times: int, after: bool) -> None:
    failing = FailingCall("workflow.succeed", times, after=after)
    service = drive(failing)
    assert failing.failed > 0
    report = json.loads(service.artifacts.objects[keys.report_key("r", "report.json")])
    results = {test["test_id"].partition("-")[0]: test["result"] for test in report["tests"]}
    assert results == {"pass": "passed", "fail": "failed", "flaky": "passed", "slow": "passed",
                       "skip": "passed"}  # fmt: skip
    assert set(service.sandboxes.executions.values()) == {1}
    # As many as without any fault: the failed one and the flaky one are tried twice.
    assert service.sandboxes.executions.total() == len(TESTS) + 2
    assert not service.sandboxes.live
    check(FakeWitness(service.runs, service.artifacts).look(service.clock.now()))


def test_no_child_of_the_map_can_fail_and_none_says_anything() -> None:
    """AWS fails a Map for one failed child, the embedded stack does not: neither is asked to. What
    became of a batch is read from the ledger."""
    children = {name: states()[name] for name in ("Batch", "Unsettled")}
    assert all(child["Type"] != "Fail" for child in children.values())
    assert children["Batch"]["Catch"][0]["ErrorEquals"] == ["States.ALL"]
    assert children["Batch"]["End"] is True
    assert {child["OutputPath"] for child in children.values()} == {None}
    launch = states()["Launch"]
    assert launch["ResultPath"] is None
    assert not {name for name in launch if name.startswith("ToleratedFailure")}
    assert launch["Next"] == launch["Catch"][0]["Next"] == "Settle"

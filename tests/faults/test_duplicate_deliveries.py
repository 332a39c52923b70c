"""The launch queue delivers at least once: again at the same moment, again when all is over, and
again after a part of a batch failed. The handler is the function's own, the ledger is DynamoDB.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import RoundAnswer
from glovebox.usecases.launch import LaunchMessage
from moto import mock_aws

from functions.launcher import app
from tests.contract.test_runs import dynamo
from tests.faults.invariants import check
from tests.faults.witness import FakeWitness
from tests.one_at_a_time import OneAtATime
from tests.unit.usecases.driver import Spine

RUN = "r1"
FAILING = "bad"


class Deliveries:
    """A run of many batches of one test each, and a queue that the test plays itself."""

    def __init__(self, folder: Path, runs: DynamoRuns) -> None:
        self.trace = folder / "trace"
        self.trace.touch()
        self.spine = Spine(folder / "sandboxes", runs=runs)
        self.witness = FakeWitness(runs, self.spine.artifacts, self.spine.sandboxes)
        self._receipts = itertools.count()
        self.hurried: list[str] = []
        """Bodies of the messages that are to be delivered again soon."""

    def plan(self, tests: list[str]) -> list[LaunchMessage]:
        command = f'echo "$1" >>{self.trace}; [ "$1" != {FAILING} ]'
        suite = {
            "name": "unit",
            "framework": "command",
            "command": ["sh", "-c", command, "sh", "{test_id}"],
            "tests": tests,
        }
        source = {"inline": {"files": {"a": ""}}}
        self.spine.start({"source": source, "suites": [suite], "parallelism": 1}, RUN)
        self.spine.prepare(RUN)
        self.answer: RoundAnswer = self.spine.plan(RUN)
        return self.spine.messages(self.answer, RUN)

    def handle(self, *bodies: str) -> list[str]:
        """Deliver a batch of messages to the handler; the bodies that it gives back."""
        ids = {f"m{next(self._receipts)}": body for body in bodies}
        facts = {"ApproximateReceiveCount": "1"}
        records = [
            {"messageId": name, "receiptHandle": name, "body": body, "attributes": facts}
            for name, body in ids.items()
        ]
        answer = app.lambda_handler({"Records": records}, CONTEXT)
        return [ids[failure["itemIdentifier"]] for failure in answer["batchItemFailures"]]

    def executions(self) -> Counter[str]:
        return Counter(self.trace.read_text().split())

    def end(self) -> None:
        assert self.spine.settle(RUN, self.answer.round).batches == 0
        self.spine.reduce(RUN)

    def check(self, tests: list[str]) -> None:
        truth = {test: Outcome.FAILED if test == FAILING else Outcome.PASSED for test in tests}
        self.witness.executions = {(RUN, t, 1): n for t, n in self.executions().items()}
        check(self.witness.look(self.spine.clock.now()), over=True, truth=truth)


CONTEXT: Any = SimpleNamespace(
    function_name="launcher",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:launcher",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 900_000,
)


@pytest.fixture
def deliveries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deliveries]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    # One test a batch: as many claims as tests.
    monkeypatch.setattr("glovebox.domain.plan.MAX_GROUPS_PER_BATCH", 1)
    with mock_aws():
        runs = dynamo()
        monkeypatch.setattr(runs, "_client", OneAtATime(runs._client))
        made = Deliveries(tmp_path, runs)
        launch = made.spine.launcher()
        monkeypatch.setattr(app, "wired", lambda: launch)
        monkeypatch.setattr(app, "deliver_soon", lambda r: made.hurried.append(r["body"]))
        yield made


def test_a_message_delivered_to_two_launchers_at_once_runs_once(deliveries: Deliveries) -> None:
    tests = [FAILING, *(f"good-{number}" for number in range(99))]
    messages = deliveries.plan(tests)
    assert len(messages) == 100
    given_back: list[str] = []
    together = threading.Barrier(2)

    def launcher() -> None:
        for message in messages:
            together.wait(30)
            given_back.extend(deliveries.handle(message.model_dump_json()))

    launchers = [threading.Thread(target=launcher) for _ in range(2)]
    for thread in launchers:
        thread.start()
    for thread in launchers:
        thread.join()
    assert deliveries.executions() == Counter(tests)
    assert given_back == []
    deliveries.end()
    deliveries.check(tests)


def test_a_message_delivered_again_when_all_is_over_changes_nothing(
    deliveries: Deliveries,
) -> None:
    tests = ["good-1", FAILING, "good-2"]
    bodies = [message.model_dump_json() for message in deliveries.plan(tests)]
    assert deliveries.handle(*bodies) == []
    before = deliveries.witness.look(0.0).runs[0].attempts
    assert deliveries.handle(*bodies) == []
    deliveries.end()
    told = dict(deliveries.spine.artifacts.objects)
    assert deliveries.handle(*reversed(bodies)) == []
    assert deliveries.spine.artifacts.objects == told
    assert [rows[-1] for rows in deliveries.witness.look(0.0).runs[0].attempts] == [
        rows[-1] for rows in before
    ]
    # Each delivery answers the token again: the answer of the one before may have been lost.
    answered = Counter(deliveries.spine.workflow.answered)
    assert answered == {json.loads(body)["token"]: 3 for body in bodies}
    deliveries.check(tests)


@pytest.mark.parametrize("poison", ["{", "{}", "no such batch"])
def test_of_a_batch_of_messages_only_those_that_failed_come_again(
    deliveries: Deliveries, poison: str
) -> None:
    tests = [f"good-{number}" for number in range(9)]
    bodies = [message.model_dump_json() for message in deliveries.plan(tests)]
    if poison == "no such batch":
        changes = {"batch_id": "1-00099", "key": "runs/r1/batches/99.json", "token": "its own"}
        poison = json.dumps(json.loads(bodies[0]) | changes)
    bodies.insert(4, poison)
    assert deliveries.handle(*bodies) == [poison]
    assert deliveries.executions() == Counter(tests)
    assert deliveries.handle(poison) == [poison]
    assert deliveries.executions() == Counter(tests)
    assert deliveries.hurried == [poison] * 2
    deliveries.end()
    deliveries.check(tests)

"""What travels through the state machine and the queue stays small, whatever tests are called and
whatever they print: ids and keys travel, the rest lies in the bucket and in the ledger."""

from __future__ import annotations

import json
from typing import Any

import pytest
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.domain.attempt import Attempt
from glovebox.domain.log import INLINE_LOG_BYTES, Log
from glovebox.domain.manifest_text import load_manifest
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import Plan, PlannedTest, Round, RoundAnswer, group_tests
from glovebox.domain.run import Run
from glovebox.usecases.launch import LaunchMessage
from glovebox.usecases.rounds import write_round

from tests.contract.test_runs import an_attempt, closed, dynamo
from tests.fakes import MemoryArtifacts
from tests.faults.aws_faults import AwsFaults
from tests.faults.moto_clients import faulty_client

STATE_BYTES = 262_144
"""Of a state's input or output, and of a message in SQS."""
ROW_BYTES = 400 * 1024
TESTS = 5_000
NAME = "é" * 1_024
"""2 KiB in UTF-8."""
TOKEN = "t" * 1_024
"""As long as Step Functions makes them."""


def planned_round(parallelism: int) -> tuple[RoundAnswer, MemoryArtifacts]:
    """The first round of so many tests of such names."""
    text = json.dumps(
        {
            "version": 1,
            "name": "n",
            "source": {"path": "."},
            "suites": [{"name": "unit", "framework": "pytest", "paths": ["."]}],
        }
    )
    manifest = load_manifest(text, file="m.json")
    tests = tuple(PlannedTest(suite="unit", test_id=f"{NAME}{n}") for n in range(TESTS))
    groups = group_tests(tests, {suite.name: suite for suite in manifest.suites})
    run = Run(run_id="r" * 64, name="n", door="api", created_at=0.0, parallelism_asked=parallelism)
    plan = Plan(
        run_id=run.run_id, name="n", tests=tests, bundle_key="b" * 200, parallelism=parallelism
    )
    artifacts = MemoryArtifacts()
    first = Round(run_id=run.run_id, round=1, groups=groups)
    return write_round(artifacts, run, plan, manifest, first), artifacts


@pytest.mark.parametrize("parallelism", [1, 50, 1000])
def test_five_thousand_tests_of_long_names_take_no_room_in_a_state(parallelism: int) -> None:
    answer, artifacts = planned_round(parallelism)
    tickets = json.loads(artifacts.objects[answer.batches_key])
    assert len(tickets) == answer.batches
    state = {"run_id": "r" * 64, "error": {"Cause": "c" * 32_768}, "plan": answer.model_dump()}
    largest_item = max(len(json.dumps(ticket)) for ticket in tickets)
    message = LaunchMessage(
        run_id="r" * 64, batch_id=tickets[0]["batch_id"], key=tickets[0]["key"], token=TOKEN,
        turn=10**6, left=tuple(range(50)), running=tuple(range(50)),
    )  # fmt: skip
    # Every child of the Map answers {}, the array of its answers is all that comes back.
    sizes = {
        "state": len(json.dumps(state)),
        "item": largest_item,
        "message": len(message.model_dump_json()),
        "answers": len(json.dumps([{}] * answer.batches)),
    }
    assert max(sizes.values()) < STATE_BYTES / 4, sizes
    assert sizes["message"] < 4_096, sizes


def long_winded(number: int) -> Attempt:
    """An attempt of which everything is as long as it can be."""
    log = Log(text="\x7f" * INLINE_LOG_BYTES, bytes=2**40, truncated=True)
    ended = closed(an_attempt(f"k{number:04}"), Outcome.FAILED)
    return ended.model_copy(update={"test_id": "日" * 20_000, "message": "𝄞" * 4_000, "log": log})


@pytest.mark.usefixtures("aws")
def test_rows_of_long_winded_tests_are_recorded_together() -> None:
    """A hundred writes of one transaction must not come to more than 4 MiB either."""
    dynamo()
    sent: list[int] = []

    def noted(request: Any, **_: object) -> None:
        items = [write["Put"]["Item"] for write in json.loads(request.body)["TransactItems"]]
        told = [value for item in items for typed in item.values() for value in typed.values()]
        sent.append(sum(len(value.encode()) for value in told))

    client = faulty_client("dynamodb", AwsFaults())
    client.meta.events.register("before-send.dynamodb.TransactWriteItems", noted)
    runs = DynamoRuns(client, "runs")
    attempts = [long_winded(number) for number in range(70)]
    runs.open_attempts([an_attempt(attempt.key) for attempt in attempts])
    runs.close_attempts(attempts)
    kept = list(runs.attempts("r"))
    assert len(kept) == 70
    assert {attempt.outcome for attempt in kept} == {Outcome.FAILED}
    assert max(sent) < 4 * 1024 * 1024
    assert max(len(a.model_dump_json().encode()) for a in kept) < ROW_BYTES

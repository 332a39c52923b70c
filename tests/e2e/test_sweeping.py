"""The last net: dead launch messages and orphaned sandboxes, on the whole stack."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import pytest
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.run import Run
from glovebox.ports import SandboxRequest
from glovebox.usecases.sweep import GRACE_SECONDS

from tests.e2e.conftest import Stack
from tests.e2e.test_doors import client

T = TypeVar("T")
MANIFEST = {
    "version": 1,
    "name": "poisoned",
    "source": {"inline": {"files": {"a.txt": "a"}}},
    "suites": [
        {"name": name, "framework": "command", "command": ["true"], "retries": 3}
        for name in ("one", "two")
    ],
}


def eventually(look: Callable[[], T | None], seconds: float = 60) -> T:
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"nothing came within {seconds} s"
        time.sleep(0.05)
    return found


def sweep(stack: Stack) -> None:
    functions = client(stack, "lambda")
    listed = functions.list_functions()["Functions"]
    [name] = [f["FunctionName"] for f in listed if "SweeperFunction" in f["FunctionName"]]
    answer = functions.invoke(FunctionName=name, Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()


def ledger(stack: Stack) -> DynamoRuns:
    return DynamoRuns(client(stack, "dynamodb"), stack.endpoints["table"])


@dataclass
class Pair:
    """A sandbox that the ledger knows and nobody owns any more, and one of somebody else's."""

    sandboxes: HopxSandboxes
    orphan: str
    foreign: str

    def live(self) -> set[str]:
        return {facts.sandbox_id for facts in self.sandboxes.list()}


@pytest.fixture(scope="module")
def pair(stack: Stack) -> Iterator[Pair]:
    secrets = client(stack, "secretsmanager")
    [secret] = secrets.list_secrets()["SecretList"]
    key = secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"]
    sandboxes = HopxSandboxes(stack.endpoints["sandbox_url"], key)
    request = SandboxRequest(image="code-interpreter", network=False, ttl_seconds=300)
    made = [sandboxes.create(request).sandbox_id for _ in range(2)]
    ledger(stack).note_sandbox("a run of long ago", made[0], time.time() - 1)
    yield Pair(sandboxes, *made)
    for sandbox_id in made:
        sandboxes.kill(sandbox_id)


@pytest.fixture
def impatient_queue(stack: Stack) -> Iterator[str]:
    """The launch queue, which holds every message back for a moment and gives up after two
    failures: long enough to break a run, and soon over."""
    sqs, url = client(stack, "sqs"), stack.endpoints["launch_queue_url"]
    names = ["RedrivePolicy", "DelaySeconds"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    policy = {**json.loads(before["RedrivePolicy"]), "maxReceiveCount": 2}
    changed = {"RedrivePolicy": json.dumps(policy), "DelaySeconds": "2"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=changed)
    yield url
    sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


def test_poison_in_the_launch_queue_ends_the_run_with_errored_results(
    stack: Stack, pair: Pair, impatient_queue: str
) -> None:
    sqs, s3 = client(stack, "sqs"), client(stack, "s3")
    api, bucket = stack.endpoints["api_url"], stack.endpoints["data_bucket"]
    unreadable = sqs.send_message(QueueUrl=impatient_queue, MessageBody="no launch message")
    run_id = httpx.post(f"{api}/runs", json={"manifest": MANIFEST}).json()["run_id"]

    def found(prefix: str) -> Any:
        return s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents")

    def read(key: str) -> bytes:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    # Readable, and yet it fails whenever it is delivered: what its sandboxes need is gone.
    eventually(lambda: found(f"runs/{run_id}/rounds/1-batches.json"))
    s3.delete_object(Bucket=bucket, Key=f"runs/{run_id}/bundle.tar.gz")

    def finished() -> Any:
        sweep(stack)
        run = httpx.get(f"{api}/runs/{run_id}").json()
        return run if run["state"] == "finished" else None

    run = eventually(finished)
    assert run["conclusion"] == "errored"
    assert run["summary"]["errored"] == run["summary"]["total"] == 2
    for test in json.loads(read(f"runs/{run_id}/report/report.json"))["tests"]:
        assert "its launch message failed" in test["message"]
        assert len(test["attempts"]) == 1
    key = f"dead-letters/{unreadable['MessageId']}"

    def kept() -> Any:
        sweep(stack)
        return found(key)

    eventually(kept)
    assert read(key) == b"no launch message"
    [dead] = [url for url in sqs.list_queues()["QueueUrls"] if "LaunchDeadLetterQueue" in url]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=names)["Attributes"]
    assert set(left.values()) == {"0"}


def test_an_orphaned_sandbox_is_killed_and_a_foreign_one_lives(stack: Stack, pair: Pair) -> None:
    def without_the_orphan() -> set[str] | None:
        sweep(stack)
        live = pair.live()
        return live if pair.orphan not in live else None

    assert pair.foreign in eventually(without_the_orphan)


def test_a_run_that_nobody_drives_is_ended_and_its_subscribers_are_told(stack: Stack) -> None:
    sqs, sns = client(stack, "sqs"), client(stack, "sns")
    queue = sqs.create_queue(QueueName="told-of-the-abandoned")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    subscription = sns.subscribe(
        TopicArn=stack.endpoints["topic_arn"],
        Protocol="sqs",
        Endpoint=arn["QueueArn"],
        Attributes={"FilterPolicy": json.dumps({"name": ["abandoned"]})},
    )["SubscriptionArn"]
    # Accepted by a door that died before it started the state machine.
    run = Run(
        run_id="abandoned-1",
        name="abandoned",
        door="api",
        created_at=time.time() - GRACE_SECONDS,
        parallelism_asked=1,
    )
    ledger(stack).create_run(run)
    sweep(stack)
    ended = httpx.get(f"{stack.endpoints['api_url']}/runs/{run.run_id}").json()
    assert (ended["state"], ended["conclusion"]) == ("finished", "errored")
    told = eventually(
        lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages")
    )
    message = json.loads(json.loads(told[0]["Body"])["Message"])
    assert (message["run_id"], message["conclusion"]) == (run.run_id, "errored")
    sweep(stack)
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=queue)

"""Who looks at a world, again and again, and remembers what was there before.

A change that was undone between two looks is not seen: look often, or let `StackWitness` follow
the ledger's own stream of changes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import httpx
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.domain import keys
from glovebox.domain.attempt import Attempt
from glovebox.domain.errors import NotFound
from glovebox.domain.plan import Plan
from glovebox.domain.run import Run
from glovebox.ports import Artifacts, Runs

from tests.fakes import FolderSandboxes, MemoryArtifacts
from tests.faults.world import LiveSandbox, QueueView, RunView, World

LIMIT = 10**9


class History:
    """What was seen of each run, in the order in which it was seen."""

    def __init__(self) -> None:
        self._runs: dict[str, list[Run]] = {}
        self._attempts: dict[str, dict[tuple[str, int], list[Attempt]]] = {}
        self._reports: dict[str, list[bytes]] = {}

    def see_run(self, run: Run) -> None:
        """Add a run as it is now."""
        _add(self._runs.setdefault(run.run_id, []), run)

    def see_attempt(self, attempt: Attempt) -> None:
        """Add an attempt as it is now."""
        rows = self._attempts.setdefault(attempt.run_id, {})
        _add(rows.setdefault((attempt.key, attempt.number), []), attempt)

    def see_row(self, row: Mapping[str, Any]) -> None:
        """Add a row of the table; those that are no run and no attempt are left out."""
        owner, kind = (row[name]["S"].partition("#")[0] for name in ("pk", "sk"))
        if owner != "run":
            return
        if kind == "run":
            self.see_run(Run.model_validate_json(row["doc"]["S"]))
        elif kind == "attempt":
            self.see_attempt(Attempt.model_validate_json(row["doc"]["S"]))

    def look(self, runs: Runs, artifacts: Artifacts, run_id: str) -> RunView:
        """Look at one run now; what is there goes into the history."""
        self.see_run(runs.run(run_id))
        for attempt in runs.attempts(run_id):
            self.see_attempt(attempt)
        report = _document(artifacts, keys.report_key(run_id, "report.json"))
        reports = self._reports.setdefault(run_id, [])
        if report is not None:
            _add(reports, report)
        plan = _document(artifacts, keys.plan_key(run_id))
        return RunView(
            runs=tuple(self._runs[run_id]),
            planned=Plan.model_validate_json(plan).tests if plan is not None else (),
            attempts=[tuple(rows) for rows in self._attempts.get(run_id, {}).values()],
            reports=tuple(reports),
            junit=_document(artifacts, keys.report_key(run_id, "junit.xml")),
        )


class FakeWitness:
    """Looks at fakes, and at a ledger of any kind."""

    def __init__(
        self,
        runs: Runs,
        artifacts: MemoryArtifacts,
        sandboxes: FolderSandboxes | None = None,
    ) -> None:
        self._runs, self._artifacts, self._sandboxes = runs, artifacts, sandboxes
        self._history = History()
        self.notices: list[str] | None = None
        """Bodies of the notifications, where the test collects them here."""
        self.queues: list[QueueView] = []
        self.executions: dict[tuple[str, str, int], int] = {}

    def look(self, now: float) -> World:
        """The world at a moment, in seconds since the epoch."""
        listed, _ = self._runs.list_runs(limit=10**6, cursor=None)
        return World(
            now=now,
            runs=[self._history.look(self._runs, self._artifacts, run.run_id) for run in listed],
            sandboxes=[LiveSandbox(n, now) for n in getattr(self._sandboxes, "live", ())],
            queues=tuple(self.queues),
            notices=None if self.notices is None else tuple(self.notices),
            texts=tuple(self._artifacts.objects.items()),
            executions=dict(self.executions),
        )


class StackWitness:
    """Looks at a running stack through its endpoints, as any client of it could."""

    def __init__(self, endpoints: Mapping[str, Any]) -> None:
        self._endpoints = endpoints
        self._history = History()
        self._runs = DynamoRuns(self.client("dynamodb"), endpoints["table"])
        self._artifacts = S3Artifacts(self.client("s3"), endpoints["data_bucket"])
        self._listener: str | None = None
        self._notices: list[str] = []
        self._key: str | None = None
        self._iterator: str | None = None

    def client(self, service: Any) -> Any:
        """A client of one of the stack's services."""
        return boto3.client(
            service,
            endpoint_url=self._endpoints["aws_endpoint_url"],
            region_name=self._endpoints["region"],
            aws_access_key_id=self._endpoints["access_key_id"],
            aws_secret_access_key=self._endpoints["secret_access_key"],
        )

    def run_ids(self) -> list[str]:
        """Every run of the ledger, newest first."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            page, cursor = self._runs.list_runs(limit=100, cursor=cursor)
            found += [run.run_id for run in page if run.run_id not in found]
            if cursor is None:
                return found

    def finished_run_ids(self) -> list[str]:
        """The runs that have ended, newest first."""
        page, _ = self._runs.list_runs(limit=1000, cursor=None)
        return [run.run_id for run in page if run.is_finished]

    def listen(self) -> None:
        """From now on, notifications are received; without, nobody listens."""
        sqs, sns = self.client("sqs"), self.client("sns")
        self._listener = sqs.create_queue(QueueName="witness")["QueueUrl"]
        facts = sqs.get_queue_attributes(QueueUrl=self._listener, AttributeNames=["QueueArn"])
        sns.subscribe(
            TopicArn=self._endpoints["topic_arn"],
            Protocol="sqs",
            Endpoint=facts["Attributes"]["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )

    def follow(self) -> None:
        """From now on, every change of the ledger is seen, however short it stood."""
        answer = self.client("dynamodb").update_table(
            TableName=self._endpoints["table"],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        arn = answer["TableDescription"]["LatestStreamArn"]
        streams = self.client("dynamodbstreams")
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        self._iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]

    def _read_stream(self) -> None:
        streams = self.client("dynamodbstreams")
        while self._iterator is not None:
            answer = streams.get_records(ShardIterator=self._iterator)
            self._iterator = answer["NextShardIterator"]
            for record in answer["Records"]:
                if "NewImage" in record["dynamodb"]:  # else the row was removed
                    self._history.see_row(record["dynamodb"]["NewImage"])
            if not answer["Records"]:
                return

    def look(self, run_ids: Collection[str] | None = None, *, queues: bool = True) -> World:
        """The world now: the runs that are named, or all of them."""
        named = self.run_ids() if run_ids is None else run_ids
        self._read_stream()
        return World(
            now=time.time(),
            runs=[self._history.look(self._runs, self._artifacts, run_id) for run_id in named],
            sandboxes=self.sandboxes(),
            queues=self.queues() if queues else (),
            notices=self.notices(),
            texts=self.texts(),
        )

    def sandboxes(self) -> list[LiveSandbox]:
        """What the sandbox server says is alive; nothing, where there is no server any more."""
        found: list[LiveSandbox] = []
        query: dict[str, str] = {}
        while True:
            try:
                answer = httpx.get(
                    f"{self._endpoints['sandbox_url']}/v1/sandboxes",
                    params=query,
                    headers={"X-API-Key": self.api_key()},
                )
            except httpx.ConnectError:
                return []
            page = answer.raise_for_status().json()
            found += [LiveSandbox(s["id"], _seconds(s["expires_at"])) for s in page["data"]]
            if not page["has_more"]:
                return found
            query = {"cursor": page["next_cursor"]}

    def api_key(self) -> str:
        """The sandbox service's key."""
        if self._key is None:
            secrets = self.client("secretsmanager")
            listed = secrets.list_secrets()["SecretList"]
            (name,) = [s["Name"] for s in listed if "HopxApiKeySecret" in s["Name"]]
            self._key = str(secrets.get_secret_value(SecretId=name)["SecretString"])
        return self._key

    def queues(self) -> list[QueueView]:
        """All queues but the witness's own; dead letters are looked at and left."""
        sqs, dead = self.client("sqs"), set[str]()
        depths: dict[str, int] = {}
        for url in sqs.list_queues().get("QueueUrls", []):
            facts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            depths[url] = sum(int(n) for name, n in facts.items() if name.startswith("Approx"))
            if "RedrivePolicy" in facts:
                arn = json.loads(facts["RedrivePolicy"])["deadLetterTargetArn"]
                dead.add(arn.rpartition(":")[2])
        views = []
        for url, depth in depths.items():
            name = url.rpartition("/")[2]
            letters = None
            if name in dead:
                letters = [
                    message["Body"]
                    for _ in range(depth)
                    for message in sqs.receive_message(
                        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0
                    ).get("Messages", [])
                ]
            if url != self._listener:
                views.append(QueueView(name, depth, letters))
        return views

    def notices(self) -> list[str] | None:
        """What has been received since `listen`."""
        if self._listener is None:
            return None
        sqs = self.client("sqs")
        while messages := sqs.receive_message(QueueUrl=self._listener, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                self._notices.append(message["Body"])
                sqs.delete_message(QueueUrl=self._listener, ReceiptHandle=message["ReceiptHandle"])
        return list(self._notices)

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """Objects, rows, histories of executions, queued messages and log files, one by one."""
        s3 = self.client("s3")
        for name in ("data_bucket", "manifest_bucket"):
            bucket = self._endpoints[name]
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for item in page.get("Contents", []):
                    body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                    yield f"s3://{bucket}/{item['Key']}", body
        table = self.client("dynamodb").get_paginator("scan")
        for page in table.paginate(TableName=self._endpoints["table"]):
            for row in page["Items"]:
                yield f"row {row['pk']['S']} {row['sk']['S']}", json.dumps(row).encode()
        states = self.client("stepfunctions")
        machine = self._endpoints["state_machine_arn"]
        for execution in states.list_executions(stateMachineArn=machine)["executions"]:
            history = states.get_execution_history(executionArn=execution["executionArn"])
            yield f"history of {execution['name']}", json.dumps(history, default=str).encode()
        for path in sorted(Path(self._endpoints["log_dir"]).rglob("*")):
            if path.is_file():
                yield str(path), path.read_bytes()
        for body in self._notices:
            yield "a notification", body.encode()


def _document(artifacts: Artifacts, key: str) -> bytes | None:
    try:
        return artifacts.get(key, limit=LIMIT)
    except NotFound:
        return None


def _add(seen: list[Any], item: Any) -> None:
    if not seen or seen[-1] != item:
        seen.append(item)


def _seconds(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None

"""The ledger in DynamoDB: one table, one document an item.

    pk            sk                      what
    run#<id>      run                     the run; `rev` guards its changes
    run#<id>      batch#<batch>           who drives a batch
    run#<id>      attempt#<key>#<number>  an attempt; `state` guards its outcome
    name#<name>   last                    how the last run of a name ended

Documents are JSON text in `doc`. What a condition or an index needs stands beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from glovebox.adapters.dynamodb_writes import new_mark, patiently, transactions
from glovebox.domain.attempt import Attempt, AttemptState
from glovebox.domain.errors import NotFound, StoreConflict
from glovebox.domain.moment import to_timestamp
from glovebox.domain.outcome import RunState
from glovebox.domain.run import Run
from glovebox.ports import Claim

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEEP_SECONDS = 90 * 24 * 3600
"""How long a row outlives its run. Reports are kept 30 days by default: history outlives them."""
UPDATE_TRIES = 20


class DynamoRuns:
    """Implements `ports.Runs`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    # -- runs

    def create_run(self, run: Run) -> None:
        """Write a new run. Raises StoreConflict if its id exists."""
        self._put(_run_item(run, 1), "attribute_not_exists(pk)")

    def run(self, run_id: str) -> Run:
        """Read a run, consistently. Raises NotFound."""
        return self._read_run(run_id)[0]

    def update_run(self, run_id: str, **changes: Any) -> Run:
        """Change fields of a run that is not finished. Raises StoreConflict if it is."""
        for _ in range(UPDATE_TRIES):
            run, rev = self._read_run(run_id)
            if run.is_finished:
                message = f"run {run_id} is finished"
                raise StoreConflict(message)
            changed = Run.model_validate({**run.model_dump(), **changes})
            if changed == run:
                return run
            try:
                self._put(_run_item(changed, rev + 1), "rev = :rev", {":rev": {"N": str(rev)}})
            except StoreConflict:
                continue  # somebody else changed another field: read again
            return changed
        message = f"run {run_id} changed {UPDATE_TRIES} times under an update"
        raise StoreConflict(message)

    def request_stop(self, run_id: str, reason: str) -> Run:
        """Note why the run stops launching; the first reason stays. Finished runs are left."""
        run = self.run(run_id)
        if run.is_finished or run.stop_reason is not None:
            return run
        try:
            return self.update_run(run_id, stop_reason=reason)
        except StoreConflict:
            return self.run(run_id)

    def _read_run(self, run_id: str) -> tuple[Run, int]:
        item = patiently(
            lambda: self._client.get_item(
                TableName=self._table, Key=_key(run_id, "run"), ConsistentRead=True
            )
        ).get("Item")
        if item is None:
            message = f"no run {run_id}"
            raise NotFound(message)
        return Run.model_validate_json(item["doc"]["S"]), int(item["rev"]["N"])

    def list_runs(self, *, limit: int, cursor: str | None) -> tuple[Sequence[Run], str | None]:
        """Runs, newest first, and where to go on: the creation time to look before."""
        found: list[Run] = []
        for state in ("open", "finished"):
            values = {":state": {"S": state}}
            condition = "state_pk = :state"
            if cursor is not None:
                values[":before"] = {"S": cursor}
                condition += " AND created_at < :before"
            answer = self._client.query(
                TableName=self._table,
                IndexName="ByState",
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ScanIndexForward=False,
                Limit=limit,
            )
            found += [Run.model_validate_json(item["doc"]["S"]) for item in answer["Items"]]
        found.sort(key=lambda run: run.created_at, reverse=True)
        page = found[:limit]
        more = len(found) > limit or len(page) == limit
        return page, to_timestamp(page[-1].created_at) if page and more else None

    def open_runs(self) -> Iterator[Run]:
        """All runs that are not finished."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="ByState",
            KeyConditionExpression="state_pk = :state",
            ExpressionAttributeValues={":state": {"S": "open"}},
        )
        for page in pages:
            for item in page["Items"]:
                yield Run.model_validate_json(item["doc"]["S"])

    def previous_conclusion(self, run: Run) -> str | None:
        """How the last finished run of that name, other than this one, ended."""
        last = self._last(run.name)
        if last.get("run_id") == run.run_id:
            return last.get("previous")
        return last.get("conclusion")

    def note_conclusion(self, run: Run) -> None:
        """Remember a finished run as the last of its name, unless a later one was noted."""
        last = self._last(run.name)
        finished_at = run.finished_at or 0.0
        if last.get("run_id") == run.run_id or last.get("finished_at", 0.0) > finished_at:
            return
        document = {
            "run_id": run.run_id,
            "conclusion": run.conclusion,
            "previous": last.get("conclusion"),
            "finished_at": finished_at,
        }
        self._client.put_item(
            TableName=self._table,
            Item={
                "pk": {"S": f"name#{run.name}"},
                "sk": {"S": "last"},
                "doc": {"S": json.dumps(document)},
            },
        )

    def _last(self, name: str) -> dict[str, Any]:
        key = {"pk": {"S": f"name#{name}"}, "sk": {"S": "last"}}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get(
            "Item"
        )
        return dict(json.loads(item["doc"]["S"])) if item else {}

    # -- batches

    def claim_batch(
        self, run_id: str, batch_id: str, owner: str, lease_seconds: float, turn: int = 0
    ) -> Claim:
        """Take a batch, if nobody holds it, the lease is over or the holder's turn is."""
        now = time.time()
        item = {
            **_key(run_id, f"batch#{batch_id}"),
            "batch_state": {"S": "held"},
            "owner": {"S": owner},
            "turn": {"N": str(turn)},
            "lease_ends_at": {"N": f"{now + lease_seconds:.3f}"},
            "expires_at": {"N": str(int(now + KEEP_SECONDS))},
        }
        free = (
            "attribute_not_exists(pk) OR (batch_state = :held AND"
            " (turn < :turn OR (turn = :turn AND lease_ends_at < :now)))"
        )
        values = {":held": {"S": "held"}, ":now": {"N": f"{now:.3f}"}, ":turn": {"N": str(turn)}}
        try:
            self._put(item, free, values)
        except StoreConflict:
            stored = self._client.get_item(
                TableName=self._table,
                Key=_key(run_id, f"batch#{batch_id}"),
                ConsistentRead=True,
            ).get("Item", {})
            if stored.get("batch_state", {}).get("S") == "done":
                return Claim.DONE
            # Ours where the claim was written, and its answer lost.
            return Claim.OURS if stored.get("owner", {}).get("S") == owner else Claim.HELD
        return Claim.OURS

    def release_batch(self, run_id: str, batch_id: str, owner: str) -> None:
        """Let go of a batch: its lease is over."""
        self._update_own_batch(
            run_id, batch_id, owner, "SET lease_ends_at = :zero", {":zero": {"N": "0"}}
        )

    def finish_batch(self, run_id: str, batch_id: str, owner: str) -> None:
        """Mark a batch as driven to its end."""
        self._update_own_batch(
            run_id, batch_id, owner, "SET batch_state = :done", {":done": {"S": "done"}}
        )

    def _update_own_batch(
        self, run_id: str, batch_id: str, owner: str, change: str, values: dict[str, dict[str, str]]
    ) -> None:
        # Where our lease was over and another launcher took the batch, that one will finish it.
        with suppress(StoreConflict):
            patiently(
                lambda: self._client.update_item(
                    TableName=self._table,
                    Key=_key(run_id, f"batch#{batch_id}"),
                    UpdateExpression=change,
                    # "owner" is one of DynamoDB's reserved words.
                    ConditionExpression="#owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues={**values, ":owner": {"S": owner}},
                )
            )

    # -- attempts

    def open_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Write attempts that start now, all or none.

        Raises StoreConflict if one exists, or if the account of their run is being made already:
        none of them is there then, or ever counts.
        """
        mark = self._write(attempts, "attribute_not_exists(pk)", {})
        # The reducer notes the end first and reads the attempts then. So it has seen these, and
        # closes them, or the end is seen here. A condition on the run's row inside the write
        # would be simpler, and make every launcher's writes collide on that row.
        if self._is_ending(attempts[0].run_id):
            self._take_back(attempts, mark)
            message = f"the account of run {attempts[0].run_id} is being made"
            raise StoreConflict(message)

    def _is_ending(self, run_id: str) -> bool:
        try:
            return self.run(run_id).finished_at is not None
        except NotFound:
            return False

    def _take_back(self, attempts: Sequence[Attempt], mark: dict[str, str]) -> None:
        for attempt in attempts:
            with suppress(StoreConflict):  # closed by the reducer: it counts after all
                patiently(
                    partial(
                        self._client.delete_item,
                        TableName=self._table,
                        Key=_attempt_key(attempt),
                        ConditionExpression="written = :written",
                        ExpressionAttributeValues={":written": mark},
                    )
                )

    def close_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Record outcomes, all or none. Raises StoreConflict if one has an outcome already."""
        running = {":running": {"S": AttemptState.RUNNING.value}}
        self._write(attempts, "attempt_state = :running", running)

    def _write(
        self, attempts: Sequence[Attempt], condition: str, values: Mapping[str, dict[str, str]]
    ) -> dict[str, str]:
        """Returns the mark that the rows carry."""
        mark = {"S": new_mark()}
        puts = [
            self._put_of({**_attempt_item(attempt), "written": mark}, condition, values)
            for attempt in attempts
        ]
        if len(puts) == 1:
            patiently(lambda: self._client.put_item(**puts[0]))
        else:
            for together in transactions(puts):
                self._write_together(together)
        return mark

    def _write_together(self, puts: Sequence[dict[str, Any]]) -> None:
        writes: list[Any] = [{"Put": put} for put in puts]
        patiently(lambda: self._client.transact_write_items(TransactItems=writes))

    def _put_of(
        self, item: dict[str, Any], condition: str, values: Mapping[str, dict[str, str]]
    ) -> dict[str, Any]:
        """A conditional write that recognises itself where it is tried again."""
        return {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": f"({condition}) OR written = :written",
            "ExpressionAttributeValues": {**values, ":written": item["written"]},
        }

    def attempts(self, run_id: str) -> Iterator[Attempt]:
        """All attempts of a run, consistently, every page."""
        return self._attempts_below(run_id, "attempt#")

    def attempts_of_test(self, run_id: str, key: str) -> Sequence[Attempt]:
        """The attempts at one test, in order of their number."""
        return list(self._attempts_below(run_id, f"attempt#{key}#"))

    def _attempts_below(self, run_id: str, prefix: str) -> Iterator[Attempt]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues={
                ":pk": {"S": f"run#{run_id}"},
                ":prefix": {"S": prefix},
            },
            ProjectionExpression="doc",
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                yield Attempt.model_validate_json(item["doc"]["S"])

    def attempts_changed_since(
        self, run_id: str, changed_at: float, limit: int
    ) -> Sequence[Attempt]:
        """Attempts written at or after a time (epoch seconds), oldest change first."""
        answer = self._client.query(
            TableName=self._table,
            IndexName="ByChange",
            KeyConditionExpression="pk = :pk AND changed_at >= :since",
            ExpressionAttributeValues={
                ":pk": {"S": f"run#{run_id}"},
                ":since": {"S": to_timestamp(changed_at)},
            },
            ProjectionExpression="doc",
            ConsistentRead=True,
            Limit=limit,
        )
        return [Attempt.model_validate_json(item["doc"]["S"]) for item in answer["Items"]]

    def _put(
        self,
        item: Mapping[str, Any],
        condition: str,
        values: Mapping[str, dict[str, str]] | None = None,
    ) -> None:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": condition,
        }
        if values:
            request["ExpressionAttributeValues"] = values
        patiently(lambda: self._client.put_item(**request))


def _key(run_id: str, sk: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": f"run#{run_id}"}, "sk": {"S": sk}}


def _run_item(run: Run, rev: int) -> dict[str, dict[str, str]]:
    return {
        **_key(run.run_id, "run"),
        "rev": {"N": str(rev)},
        "doc": {"S": run.model_dump_json()},
        "state_pk": {"S": "finished" if run.state is RunState.FINISHED else "open"},
        "created_at": {"S": to_timestamp(run.created_at)},
        "expires_at": {"N": str(int(run.created_at + KEEP_SECONDS))},
    }


def _attempt_key(attempt: Attempt) -> dict[str, dict[str, str]]:
    return _key(attempt.run_id, f"attempt#{attempt.key}#{attempt.number:04d}")


def _attempt_item(attempt: Attempt) -> dict[str, dict[str, str]]:
    return {
        **_attempt_key(attempt),
        "attempt_state": {"S": attempt.state.value},
        "changed_at": {"S": to_timestamp(attempt.changed_at)},
        "doc": {"S": attempt.model_dump_json(exclude_none=True)},
        "expires_at": {"N": str(int(attempt.changed_at + KEEP_SECONDS))},
    }

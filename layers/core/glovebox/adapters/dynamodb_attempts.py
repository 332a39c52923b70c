"""The ledger's attempts: opened once, closed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from glovebox.adapters.dynamodb_table import KEEP_SECONDS, LedgerTable, key_of
from glovebox.adapters.dynamodb_writes import new_mark, patiently, transactions
from glovebox.domain.attempt import Attempt, AttemptState
from glovebox.domain.errors import StoreConflict
from glovebox.domain.moment import to_timestamp
from glovebox.domain.run import Run


class AttemptRows(LedgerTable):
    """The part of `ports.Runs` about attempts."""

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
        item = patiently(
            lambda: self._client.get_item(
                TableName=self._table, Key=key_of(run_id, "run"), ConsistentRead=True
            )
        ).get("Item")
        return (
            item is not None and Run.model_validate_json(item["doc"]["S"]).finished_at is not None
        )

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


def _attempt_key(attempt: Attempt) -> dict[str, dict[str, str]]:
    return key_of(attempt.run_id, f"attempt#{attempt.key}#{attempt.number:04d}")


def _attempt_item(attempt: Attempt) -> dict[str, dict[str, str]]:
    # What leads from a sandbox to its owner stands beside the document, for the index.
    sandbox = {"sandbox_id": {"S": attempt.sandbox_id}} if attempt.sandbox_id else {}
    return {
        **_attempt_key(attempt),
        "attempt_state": {"S": attempt.state.value},
        "changed_at": {"S": to_timestamp(attempt.changed_at)},
        "doc": {"S": attempt.model_dump_json(exclude_none=True)},
        **sandbox,
        "expires_at": {"N": str(int(attempt.changed_at + KEEP_SECONDS))},
    }

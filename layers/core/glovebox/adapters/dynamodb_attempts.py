"""The ledger's attempts: opened once, closed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from glovebox.adapters.dynamodb_table import KEEP_SECONDS, LedgerTable, conflict_of, key_of
from glovebox.domain.attempt import Attempt, AttemptState
from glovebox.domain.moment import to_timestamp

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

TRANSACTION_SIZE = 100
"""Writes in one transaction, DynamoDB's limit."""


class AttemptRows(LedgerTable):
    """The part of `ports.Runs` about attempts."""

    def open_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Write attempts that start now, all or none. Raises StoreConflict if one exists."""
        self._write(attempts, "attribute_not_exists(pk)", {})

    def close_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Record outcomes, all or none. Raises StoreConflict if one has an outcome already."""
        running = {":running": {"S": AttemptState.RUNNING.value}}
        self._write(attempts, "attempt_state = :running", running)

    def _write(
        self, attempts: Sequence[Attempt], condition: str, values: Mapping[str, dict[str, str]]
    ) -> None:
        if len(attempts) == 1:
            self._put(_attempt_item(attempts[0]), condition, values)
            return
        for start in range(0, len(attempts), TRANSACTION_SIZE):
            self._write_together(attempts[start : start + TRANSACTION_SIZE], condition, values)

    def _write_together(
        self, attempts: Sequence[Attempt], condition: str, values: Mapping[str, dict[str, str]]
    ) -> None:
        writes: list[TransactWriteItemTypeDef] = []
        for attempt in attempts:
            put: dict[str, Any] = {
                "TableName": self._table,
                "Item": _attempt_item(attempt),
                "ConditionExpression": condition,
            }
            if values:
                put["ExpressionAttributeValues"] = values
            writes.append({"Put": put})  # type: ignore[typeddict-item]
        try:
            self._client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            raise conflict_of(error) from error

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


def _attempt_item(attempt: Attempt) -> dict[str, dict[str, str]]:
    # What leads from a sandbox to its owner stands beside the document, for the index.
    sandbox = {"sandbox_id": {"S": attempt.sandbox_id}} if attempt.sandbox_id else {}
    return {
        **key_of(attempt.run_id, f"attempt#{attempt.key}#{attempt.number:04d}"),
        "attempt_state": {"S": attempt.state.value},
        "changed_at": {"S": to_timestamp(attempt.changed_at)},
        "doc": {"S": attempt.model_dump_json(exclude_none=True)},
        **sandbox,
        "expires_at": {"N": str(int(attempt.changed_at + KEEP_SECONDS))},
    }

"""The ledger's table: one table, one document an item.

    pk            sk                      what
    run#<id>      run                     the run; `rev` guards its changes
    run#<id>      batch#<batch>           who drives a batch
    run#<id>      attempt#<key>#<number>  an attempt; `state` guards its outcome
    run#<id>      sandbox#<sandbox>       a sandbox that serves no attempt
    run#<id>      untold                  its subscribers are to be told of its end
    image#<name>  run#<id>                the run uses an image of ours
    request#<hash> request                which run an idempotency key started
    name#<name>   last                    how the last run of a name ended

Documents are JSON text in `doc`. What a condition or an index needs stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glovebox.adapters.dynamodb_writes import patiently

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEEP_SECONDS = 90 * 24 * 3600
"""How long a row outlives its run. Reports are kept 30 days by default: history outlives them."""


class LedgerTable:
    """The table, as every room of the ledger writes to it."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def _put(
        self,
        item: Mapping[str, Any],
        condition: str,
        values: Mapping[str, dict[str, str]] | None = None,
    ) -> None:
        """Write an item if a condition holds. Raises StoreConflict if it does not."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": condition,
        }
        if values:
            request["ExpressionAttributeValues"] = values
        patiently(lambda: self._client.put_item(**request))


def key_of(run_id: str, sk: str) -> dict[str, dict[str, str]]:
    """The key of a run's row."""
    return {"pk": {"S": f"run#{run_id}"}, "sk": {"S": sk}}

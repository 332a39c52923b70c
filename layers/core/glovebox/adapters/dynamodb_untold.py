"""Runs whose subscribers are still to be told."""

from __future__ import annotations

from collections.abc import Iterator

from glovebox.adapters.dynamodb_table import KEEP_SECONDS, LedgerTable, key_of
from glovebox.domain.moment import to_timestamp

_UNTOLD = "untold"


class UntoldRows(LedgerTable):
    """The part of `ports.Runs` about telling. The index ByState finds these rows."""

    def note_untold(self, run_id: str, at: float) -> None:
        """Remember, at a time (epoch seconds), that a run's subscribers must be told of its end."""
        self._client.put_item(
            TableName=self._table,
            Item={
                **key_of(run_id, _UNTOLD),
                "state_pk": {"S": _UNTOLD},
                "created_at": {"S": to_timestamp(at)},
                "expires_at": {"N": str(int(at + KEEP_SECONDS))},
            },
        )

    def untold(self) -> Iterator[str]:
        """The runs whose subscribers are still to be told, longest first."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="ByState",
            KeyConditionExpression="state_pk = :state",
            ExpressionAttributeValues={":state": {"S": _UNTOLD}},
        )
        for page in pages:
            for item in page["Items"]:
                yield item["pk"]["S"].removeprefix("run#")

    def note_told(self, run_id: str) -> None:
        """The run's subscribers were told. Told again, it is no error."""
        self._client.delete_item(TableName=self._table, Key=key_of(run_id, _UNTOLD))

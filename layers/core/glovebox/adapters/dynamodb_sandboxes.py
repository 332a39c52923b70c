"""Whose a sandbox is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glovebox.adapters.dynamodb_table import KEEP_SECONDS, LedgerTable, key_of
from glovebox.domain.attempt import Attempt
from glovebox.domain.ownership import SandboxOwner

if TYPE_CHECKING:
    from collections.abc import Mapping

_RUN = "run#"


class SandboxRows(LedgerTable):
    """The part of `ports.Runs` about sandboxes.

    The index BySandbox holds keys only, so that closing an attempt does not write to it again:
    it leads to the row, and the row itself is read consistently.
    """

    def note_sandbox(self, run_id: str, sandbox_id: str, until: float) -> None:
        """Remember a sandbox that serves no attempt, and when it must be over (epoch seconds)."""
        self._client.put_item(
            TableName=self._table,
            Item={
                **key_of(run_id, f"sandbox#{sandbox_id}"),
                "sandbox_id": {"S": sandbox_id},
                "until": {"N": f"{until:.3f}"},
                "expires_at": {"N": str(int(until + KEEP_SECONDS))},
            },
        )

    def owner_of(self, sandbox_id: str) -> SandboxOwner | None:
        """Whose a sandbox is; None where this ledger does not know it, or not yet."""
        # One row is enough: the attempts that share a sandbox are opened and closed together.
        found = self._client.query(
            TableName=self._table,
            IndexName="BySandbox",
            KeyConditionExpression="sandbox_id = :id",
            ExpressionAttributeValues={":id": {"S": sandbox_id}},
            Limit=1,
        )["Items"]
        if not found:
            return None
        key = {name: found[0][name] for name in ("pk", "sk")}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get(
            "Item"
        )
        return _owner(item) if item else None


def _owner(item: Mapping[str, Any]) -> SandboxOwner:
    run_id = item["pk"]["S"].removeprefix(_RUN)
    if "until" in item:
        return SandboxOwner(run_id, until=float(item["until"]["N"]))
    attempt = Attempt.model_validate_json(item["doc"]["S"])
    return SandboxOwner(run_id, ended_at=attempt.changed_at if attempt.outcome else None)

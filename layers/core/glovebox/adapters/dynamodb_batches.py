"""Who drives a batch: claims and leases."""

from __future__ import annotations

import time
from contextlib import suppress

from glovebox.adapters.dynamodb_table import KEEP_SECONDS, LedgerTable, key_of
from glovebox.adapters.dynamodb_writes import patiently
from glovebox.domain.errors import StoreConflict
from glovebox.ports import Claim


class BatchClaims(LedgerTable):
    """The part of `ports.Runs` about batches."""

    def claim_batch(
        self, run_id: str, batch_id: str, owner: str, lease_seconds: float, turn: int = 0
    ) -> Claim:
        """Take a batch, if nobody holds it, the lease is over or the holder's turn is."""
        now = time.time()
        item = {
            **key_of(run_id, f"batch#{batch_id}"),
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
                Key=key_of(run_id, f"batch#{batch_id}"),
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
                    Key=key_of(run_id, f"batch#{batch_id}"),
                    UpdateExpression=change,
                    # "owner" is one of DynamoDB's reserved words.
                    ConditionExpression="#owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues={**values, ":owner": {"S": owner}},
                )
            )

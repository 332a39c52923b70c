"""Idempotency keys: which run a caller's request started."""

from __future__ import annotations

import json

from glovebox.adapters.dynamodb_table import KEEP_SECONDS, LedgerTable
from glovebox.domain import keys
from glovebox.domain.errors import StoreConflict
from glovebox.ports import KeptRequest


class RequestRows(LedgerTable):
    """The part of `ports.Runs` about requests."""

    def keep_request(
        self, owner: str, idempotency_key: str, request: KeptRequest, at: float
    ) -> KeptRequest:
        """Bind an owner's key to a request; answers the one that it is bound to."""
        key = {"pk": {"S": f"request#{keys.request_key(owner, idempotency_key)}"}}
        key["sk"] = {"S": "request"}
        document = {"run_id": request.run_id, "digest": request.digest}
        item = {
            **key,
            "doc": {"S": json.dumps(document)},
            "expires_at": {"N": str(int(at + KEEP_SECONDS))},
        }
        try:
            self._put(item, "attribute_not_exists(pk)")
        except StoreConflict:
            found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
            kept = json.loads(found["Item"]["doc"]["S"])
            return KeptRequest(run_id=kept["run_id"], digest=kept["digest"])
        return request

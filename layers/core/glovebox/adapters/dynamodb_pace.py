"""The pace in the ledger's own table: one item that all launchers share.

    pk    sk      what
    pace  shared  permits, what 429 taught, leases; `rev` guards its changes

The document is JSON text in `doc`. A launcher writes on what it saw last, and learns of another's
write from the one that the table refuses: where nobody else wrote, a change is one call.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from glovebox.domain.errors import StoreConflict
from glovebox.domain.pacing import (
    Demand,
    PaceLimits,
    PaceState,
    Permits,
    leave,
    slow_down,
    take_permits,
)
from glovebox.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEEP_SECONDS = 24 * 3600
"""The item goes when nobody has written for so long; without one everything is at its start."""
TRIES = 20
BACKOFF_SECONDS = 0.02
_KEY = {"pk": {"S": "pace"}, "sk": {"S": "shared"}}
_log = logging.getLogger(__name__)
T = TypeVar("T")


class DynamoPace:
    """Implements `ports.Pace`. Thread-safe."""

    def __init__(
        self, client: DynamoDBClient, table: str, limits: PaceLimits, clock: Clock
    ) -> None:
        self._client, self._table = client, table
        self._limits, self._clock = limits, clock
        self._seen: tuple[PaceState, int] | None = None

    def take(self, demand: Demand) -> Permits:
        """Take permits and places, as many as there are."""
        return self._change(lambda state, now: take_permits(state, self._limits, demand, now))

    def slow_down(self, *, asked_at: float, retry_after_seconds: float) -> None:
        """Tell everybody of a 429 to a creation that was asked for at `asked_at` (epoch)."""
        wish = retry_after_seconds

        def change(state: PaceState, now: float) -> tuple[PaceState, float]:
            slowed = slow_down(state, now, asked_at=asked_at, retry_after_seconds=wish)
            return slowed, slowed.factor

        factor = self._change(change)
        _log.warning("the provider is asked less often", extra={"factor": factor, "wish": wish})

    def leave(self, owner: str, *, live: int, unused: int, given: Permits | None) -> None:
        """Give back an owner's places but for `live`, and the last `unused` permits of `given`."""
        self._change(
            lambda state, now: (
                leave(state, now, owner=owner, live=live, unused=unused, given=given),
                None,
            )
        )

    def _change(self, change: Callable[[PaceState, float], tuple[PaceState, T]]) -> T:
        """Apply a change to the newest state, at the time of its write."""
        state, rev = self._seen or self._read()
        for count in range(TRIES):
            now = self._clock.now()
            changed, answer = change(state, now)
            try:
                self._write(changed, rev, now)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                state, rev = self._refused(error)
                if count:
                    # Apart, or the same writers meet again.
                    most = BACKOFF_SECONDS * count
                    self._clock.sleep(random.uniform(0, most))  # noqa: S311 - no secret
                continue
            self._seen = (changed, rev + 1)
            return answer
        message = f"the pace changed {TRIES} times under a change"
        raise StoreConflict(message)

    def _read(self) -> tuple[PaceState, int]:
        answer = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        return _state(answer.get("Item"))

    def _refused(self, error: ClientError) -> tuple[PaceState, int]:
        """What somebody else wrote meanwhile: it comes with the refusal."""
        response: dict[str, Any] = dict(error.response)
        return _state(response["Item"]) if "Item" in response else self._read()

    def _write(self, state: PaceState, rev: int, now: float) -> None:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": {
                **_KEY,
                "rev": {"N": str(rev + 1)},
                "doc": {"S": state.model_dump_json()},
                "expires_at": {"N": str(int(now + KEEP_SECONDS))},
            },
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if rev:
            request["ConditionExpression"] = "rev = :rev"
            request["ExpressionAttributeValues"] = {":rev": {"N": str(rev)}}
        self._client.put_item(**request)


def _state(item: Any) -> tuple[PaceState, int]:
    if not item:
        return PaceState(), 0
    return PaceState.model_validate_json(item["doc"]["S"]), int(item["rev"]["N"])

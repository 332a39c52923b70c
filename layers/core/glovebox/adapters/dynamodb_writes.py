"""Writes to the ledger on a bad day: tried again, and known by what they wrote.

A write may take effect unheard. Tried again, by botocore or here, its condition then meets what
it wrote itself; a mark in the row tells that apart from what somebody else wrote.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from glovebox.domain.errors import StoreConflict

PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
"""Before the tries that follow botocore's own six, each up to this long. An outcome that is not
recorded is a test that is run again, so some patience is cheap."""
TRANSACTION_SIZE = 100
"""Writes in one transaction, DynamoDB's limit."""
TRANSACTION_BYTES = 3 * 1024 * 1024
"""Of the items in one transaction; DynamoDB's limit is 4 MiB."""
_T = TypeVar("_T")
_LOST = "ConditionalCheckFailed"
_TRANSIENT = {
    "InternalServerError",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
}


def new_mark() -> str:
    """What marks rows as the work of one call, however often it is tried."""
    return secrets.token_hex(8)


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def patiently(call: Callable[[], _T]) -> _T:
    """Make a call until it goes through. Raises StoreConflict where its condition does not hold;
    what is refused for good, or for too long, is raised as it is."""
    for longest in (*PAUSES_SECONDS, None):
        try:
            return call()
        except (ClientError, ConnectionError, HTTPClientError) as error:
            if _is_conflict(error):
                raise StoreConflict(str(error)) from error
            if longest is None or not _may_pass(error):
                raise
            pause(random.uniform(0, longest))  # noqa: S311 - a spread, no secret
    raise AssertionError  # the last turn returns or raises


def transactions(puts: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Writes in as few transactions as they fit into, in their order."""
    together: list[dict[str, Any]] = []
    size = 0
    for put in puts:
        length = sum(
            len(name) + len(value.encode())
            for name, typed in put["Item"].items()
            for value in typed.values()
        )
        if together and (len(together) == TRANSACTION_SIZE or size + length > TRANSACTION_BYTES):
            yield together
            together, size = [], 0
        together.append(put)
        size += length
    if together:
        yield together


def code_of(error: ClientError) -> str:
    """The name of what AWS answered."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _is_conflict(error: Exception) -> bool:
    """Whether a condition was not met. A transaction is cancelled for other reasons as well."""
    if not isinstance(error, ClientError):
        return False
    if code_of(error) == "TransactionCanceledException":
        return _LOST in _reasons(error)
    return code_of(error) == "ConditionalCheckFailedException"


def _may_pass(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return True  # no answer at all
    if code_of(error) == "TransactionCanceledException":
        return "ValidationError" not in _reasons(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code_of(error) in _TRANSIENT or status >= 500


def _reasons(error: ClientError) -> set[str]:
    listed = error.response.get("CancellationReasons", [])
    return {str(reason.get("Code")) for reason in listed}

"""Seeded faults between this service and AWS, put into botocore just before it sends.

Nothing but botocore is needed, so the file also travels into the functions' own processes
(tests/faults/chaos). A fault is decided for every try, so botocore's own retries are part of
what is tested.
"""

from __future__ import annotations

import io
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError, ReadTimeoutError

Send = Callable[[AWSPreparedRequest], AWSResponse]
"""Sends a request for real: over the network, or into an emulator of this process."""


class AwsFault(StrEnum):
    """What can go wrong with one try of one call."""

    THROTTLED = "throttled"
    """Refused before anything happened: too many requests."""
    SERVER_ERROR = "server_error"
    """Refused with 500 before anything happened."""
    NOT_CONNECTED = "not_connected"
    """The request never left."""
    RESET = "reset"
    """The connection broke before the request was read."""
    ANSWER_LOST = "answer_lost"
    """The request took effect; the caller waits for its answer in vain."""
    ANSWER_BROKEN = "answer_broken"
    """The request took effect; the caller is told 500."""
    CONFLICT = "conflict"
    """DynamoDB: another transaction holds the row just now. Nothing happened."""
    DENIED = "denied"
    """Refused for good."""


EVERYWHERE = tuple(fault for fault in AwsFault if fault not in (AwsFault.CONFLICT, AwsFault.DENIED))
"""Faults that any call may meet, and that a repeat of it may not."""
CONFLICTING = {f"dynamodb.{name}" for name in ("PutItem", "UpdateItem", "TransactWriteItems")}
"""Where DynamoDB may answer with CONFLICT."""


class AwsFaults:
    """Decides, does and counts the faults of one process."""

    def __init__(
        self,
        *,
        seed: int = 0,
        rate: float = 0.0,
        kinds: Collection[AwsFault] = EVERYWHERE,
        script: Mapping[str, Iterable[AwsFault | None]] | None = None,
        only: Callable[[str], bool] = lambda _: True,
        record: Callable[[str, AwsFault], None] = lambda _operation, _fault: None,
    ) -> None:
        """`script` lists, by operation, what happens to its tries one after another, and then
        nothing more; every other try meets one of `kinds` at `rate`, where `only` allows its
        operation. An operation is `dynamodb.PutItem`.
        """
        self._random = random.Random(seed)
        self._rate, self._kinds = rate, kinds
        self._script: dict[str, Iterator[AwsFault | None]] = {
            operation: iter(faults) for operation, faults in (script or {}).items()
        }
        self._only = only
        self._record = record
        self._lock = threading.Lock()
        self.injected: Counter[str] = Counter()
        """`operation fault` to how often."""
        self.tries: Counter[str] = Counter()
        """Tries by operation, those that met a fault included."""

    def attach(self, events: Any, send: Send) -> None:
        """Put the faults into a client's events (`client.meta.events`), or a session's."""
        events.register_first(
            "before-send",
            lambda request, event_name, **_: self._answer(request, event_name, send),
        )

    def _answer(
        self, request: AWSPreparedRequest, event_name: str, send: Send
    ) -> AWSResponse | None:
        operation = event_name.removeprefix("before-send.")
        with self._lock:
            self.tries[operation] += 1
            fault = self._draw(operation)
            if fault is None:
                return send(request)
            self.injected[f"{operation} {fault}"] += 1
        self._record(operation, fault)
        return _suffer(fault, operation, request, send)

    def _draw(self, operation: str) -> AwsFault | None:
        if operation in self._script:
            return next(self._script[operation], None)
        if not self._only(operation) or self._random.random() >= self._rate:
            return None
        conflicts = operation in CONFLICTING
        return self._random.choice([k for k in self._kinds if conflicts or k != AwsFault.CONFLICT])


def _suffer(
    fault: AwsFault, operation: str, request: AWSPreparedRequest, send: Send
) -> AWSResponse:
    url = str(request.url)
    match fault:
        case AwsFault.NOT_CONNECTED:
            raise ConnectTimeoutError(endpoint_url=url)
        case AwsFault.RESET:
            raise ConnectionClosedError(endpoint_url=url)
        case AwsFault.ANSWER_LOST:
            send(request)
            raise ReadTimeoutError(endpoint_url=url)
        case AwsFault.ANSWER_BROKEN:
            send(request)
            return error_answer(request, operation, 500, "InternalServerError")
        case AwsFault.SERVER_ERROR:
            return error_answer(request, operation, 500, "InternalServerError")
        case AwsFault.THROTTLED if operation.startswith("dynamodb."):
            code = "ProvisionedThroughputExceededException"
            return error_answer(request, operation, 400, code)
        case AwsFault.THROTTLED if operation.startswith("s3."):
            return error_answer(request, operation, 503, "SlowDown")
        case AwsFault.THROTTLED:
            return error_answer(request, operation, 400, "ThrottlingException")
        case AwsFault.CONFLICT if operation.endswith(".TransactWriteItems"):
            count = len(json.loads(cast(bytes, request.body))["TransactItems"])
            reasons = [{"Code": "TransactionConflict"}, *[{"Code": "None"}] * (count - 1)]
            return error_answer(
                request, operation, 400, "TransactionCanceledException", CancellationReasons=reasons
            )
        case AwsFault.CONFLICT:
            return error_answer(request, operation, 400, "TransactionConflictException")
    return error_answer(request, operation, 400, "AccessDeniedException")


def error_answer(
    request: AWSPreparedRequest, operation: str, status: int, code: str, **details: Any
) -> AWSResponse:
    """What AWS would answer; with 200, an empty document."""
    message, headers = f"injected into {operation}", HTTPHeaders()
    if operation.startswith("s3."):
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        headers["content-type"] = "application/xml"
    else:
        error = {"__type": code, "message": message, **details}
        body = json.dumps(error if status >= 300 else {}).encode()
        headers["content-type"] = "application/x-amz-json-1.0"
    return AWSResponse(str(request.url), status, headers, _Body(body))


class _Body(io.BytesIO):
    """A body as botocore reads it."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()

"""SQS to Lambda, as Lambda's event source mappings do it: batches, concurrency, partial failures.

moto would run the function inside SendMessage, one message at a time, and ignore what it answers.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from glovebox_local.aws.patch_storage import seconds_until_visible
from glovebox_local.executor.model import InvocationResult, ThrottledError

_log = logging.getLogger(__name__)

_RECEIVE_LIMIT = 10  # ReceiveMessage gives no more at a time
_PAYLOAD_BYTES = 6 * 1024 * 1024
_THROTTLE_PAUSE_SECONDS = 0.25

Invoke = Callable[[str, bytes], InvocationResult]


@dataclass(frozen=True, slots=True)
class QueueMapping:
    """One event source mapping of a queue."""

    queue_name: str
    queue_arn: str
    region: str
    function: str
    batch_size: int = 10
    window_seconds: float = 0.0
    concurrency: int = 4
    report_failures: bool = False


class QueuePoller:
    """Polls one queue from one thread, and runs each batch on a thread of its own."""

    def __init__(self, mapping: QueueMapping, backend: Callable[[], Any], invoke: Invoke) -> None:
        self._mapping = mapping
        self._backend = backend
        self._invoke = invoke
        self._slots = threading.Semaphore(mapping.concurrency)
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._poll, name=f"glovebox-poll-{mapping.queue_name}", daemon=True
        )

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling; batches in progress keep their messages until they become visible again."""
        self._stopping.set()
        self._slots.release()
        try:
            changed = self._backend().get_queue(self._mapping.queue_name)._messages_lock
        except Exception:  # the queue is gone already
            return
        with changed:
            changed.notify_all()

    def _poll(self) -> None:
        while not self._stopping.is_set():
            # A batch is received only when there is room to run it: messages that waited here
            # would use up their visibility timeout.
            self._slots.acquire()
            try:
                messages = self._receive_batch()
            except Exception:
                _log.exception("polling %s", self._mapping.queue_name)
                self._stopping.wait(1)
                messages = []
            if not messages:
                self._slots.release()
                continue
            threading.Thread(
                target=self._run, args=(messages,), name="glovebox-batch", daemon=True
            ).start()

    def _receive_batch(self) -> list[Any]:
        """A full batch, or what came within the batching window after the first message."""
        backend, mapping = self._backend(), self._mapping
        queue = backend.get_queue(mapping.queue_name)
        messages: list[Any] = []
        until: float | None = None
        while not self._stopping.is_set():
            room = min(mapping.batch_size - len(messages), _RECEIVE_LIMIT)
            with queue._messages_lock:
                received = backend.receive_message(
                    mapping.queue_name, room, 0, queue.visibility_timeout, ["All"]
                )
                messages += received
                if messages and until is None:
                    until = time.monotonic() + mapping.window_seconds
                left = 1.0 if until is None else until - time.monotonic()
                if self._is_complete(messages) or left <= 0:
                    break
                if not received:
                    queue._messages_lock.wait(min(left, seconds_until_visible(queue)))
        return messages

    def _is_complete(self, messages: list[Any]) -> bool:
        if len(messages) >= self._mapping.batch_size:
            return True
        # Bodies are at most 1 MB each: stop while one more of them still fits.
        return sum(len(m.body) for m in messages) > _PAYLOAD_BYTES - (1 << 20)

    def _run(self, messages: list[Any]) -> None:
        try:
            failed = self._invoke_batch(messages)
            for message in messages:
                if message.id not in failed:
                    self._backend().delete_message(self._mapping.queue_name, message.receipt_handle)
        except Exception:  # the messages come back by themselves
            if not self._stopping.is_set():
                _log.exception("batch of %s", self._mapping.queue_name)
        finally:
            self._slots.release()

    def _invoke_batch(self, messages: list[Any]) -> set[str]:
        """Run the function and return the ids of the messages that it did not finish."""
        everything = {message.id for message in messages}
        records = [record_of(message, self._mapping) for message in messages]
        payload = json.dumps({"Records": records}).encode()
        until = time.monotonic() + self._visibility_seconds()
        while True:
            try:
                result = self._invoke(self._mapping.function, payload)
                break
            except ThrottledError:
                # Lambda's pollers try again until the messages would reappear in the queue.
                if time.monotonic() > until or self._stopping.wait(_THROTTLE_PAUSE_SECONDS):
                    return everything
        if result.error is not None:
            return everything
        return failed_ids(result.payload, everything) if self._mapping.report_failures else set()

    def _visibility_seconds(self) -> float:
        return float(self._backend().get_queue(self._mapping.queue_name).visibility_timeout)


def failed_ids(answer: bytes, sent: set[str]) -> set[str]:
    """The messages that a batch answer (ReportBatchItemFailures) gives back.

    An empty answer or an empty list means success; anything malformed, an empty or an unknown id
    means that the whole batch failed, as Lambda documents it.
    """
    try:
        document = json.loads(answer) if answer else None
    except ValueError:
        return sent
    if document is None:
        return set()
    if not isinstance(document, dict):
        return sent
    failures = document.get("batchItemFailures")
    if failures is None:
        return set()
    if not isinstance(failures, list):
        return sent
    ids: set[str] = set()
    for item in failures:
        identifier = item.get("itemIdentifier") if isinstance(item, dict) else None
        if not isinstance(identifier, str) or identifier not in sent:
            return sent
        ids.add(identifier)
    return ids


def record_of(message: Any, mapping: QueueMapping) -> dict[str, Any]:
    """A message as the record of a Lambda event."""
    attributes = {
        "ApproximateReceiveCount": str(message.approximate_receive_count),
        "SentTimestamp": str(message.sent_timestamp),
        "SenderId": message.sender_id,
        "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
    }
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {
            name: _attribute(value) for name, value in message.message_attributes.items()
        },
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": mapping.queue_arn,
        "awsRegion": mapping.region,
    }


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    attribute: dict[str, Any] = {"dataType": value["DataType"]}
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        binary = value["BinaryValue"]
        raw = binary if isinstance(binary, bytes) else str(binary).encode()
        attribute["binaryValue"] = base64.b64encode(raw).decode()
    return {**attribute, "stringListValues": [], "binaryListValues": []}

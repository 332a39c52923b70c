"""Repairs of moto's queues, tables and buckets: locks where its dictionaries race, and speed.

Without them two receivers got the same SQS message in five rounds of six, and a DynamoDB counter
under 32 threads lost updates.
"""

from __future__ import annotations

import copy
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from glovebox_local.aws.contract import moto_module
from glovebox_local.file_limit import raise_file_limit

_TABLE_CALLS = (
    "put_item",
    "get_item",
    "query",
    "scan",
    "update_item",
    "delete_item",
    "transact_write_items",
)
_BUCKET_CALLS = (
    "put_object",
    "list_objects",
    "delete_object",
    "delete_objects",
    "copy_object",
    "complete_multipart_upload",
)
# moto keeps objects of up to 5 MB in memory, for as long as the stack lives: some 4 MB a run.
_IN_MEMORY_BYTES = 128 * 1024
# A hidden message becomes visible by the passing of time, which notifies nobody.
_LONGEST_WAIT_SECONDS = 1.0


def install() -> None:
    """Apply the repairs; to be called once per process."""
    sqs = moto_module("sqs.models")
    objects = moto_module("s3.models")
    buckets = objects.S3Backend
    # Beyond it, an object is an unnamed file, which vanishes with the process; each takes a
    # descriptor.
    objects.get_s3_default_key_buffer_size = lambda: _IN_MEMORY_BYTES
    raise_file_limit()
    tables = moto_module("dynamodb.models").DynamoDBBackend
    buckets.put_object_tagging = functools.partialmethod(
        _put_object_tagging, buckets.put_object_tagging
    )
    table = moto_module("dynamodb.models.table").Table
    table.query = functools.partialmethod(_query_partition, table.query)
    _lock_calls(tables, _TABLE_CALLS)
    _lock_calls(buckets, _BUCKET_CALLS)
    # moto's own goes through two datetime objects for every message in the queue, on every call.
    sqs.unix_time_millis = lambda dt=None: time.time() * 1000
    sqs.Queue.add_message = _add_message
    stock_receive = sqs.SQSBackend.receive_message
    sqs.SQSBackend.receive_message = functools.partialmethod(_receive_message, stock_receive)
    for name in ("delete_message", "change_message_visibility", "purge_queue"):
        setattr(sqs.SQSBackend, name, _under_queue_lock(getattr(sqs.SQSBackend, name)))


def _put_object_tagging(
    self: Any, stock: Callable[..., Any], key: Any, tags: dict[str, str] | None
) -> Any:
    # moto tags every object that is put, mostly with nothing, and tells the event bus about it.
    if not tags and not self.tagger.has_tags(key.arn):
        return key
    return stock(self, key, tags)


def _query_partition(
    self: Any, stock: Callable[..., Any], hash_key: Any, *args: Any, **kwargs: Any
) -> Any:
    # moto compares and sorts all items of the table on every query, also where only those of one
    # hash key can be meant: each run would make every later one slower.
    conditions = kwargs.get("hash_key_conditions") or ()
    key = dict(conditions).get(self.hash_key_attr) if conditions else hash_key
    if key is None or key not in self.items:
        return stock(self, hash_key, *args, **kwargs)
    partition = copy.copy(self)
    partition.items = {key: self.items[key]}
    return stock(partition, hash_key, *args, **kwargs)


def _lock_calls(backend: type, names: tuple[str, ...]) -> None:
    lock = threading.RLock()

    def locked(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return call(*args, **kwargs)

        return wrapper

    for name in names:
        setattr(backend, name, locked(getattr(backend, name)))


def _add_message(self: Any, message: Any) -> None:
    # moto would go on to invoke mapped functions right here, inside SendMessage, one message at
    # a time; delivery.queues does it as Lambda does.
    with self._messages_lock:
        self._messages.append(message)
        self._messages_lock.notify_all()


def _under_queue_lock(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def wrapper(self: Any, queue_name: str, *args: Any, **kwargs: Any) -> Any:
        changed = self.get_queue(queue_name)._messages_lock
        with changed:
            try:
                return call(self, queue_name, *args, **kwargs)
            finally:
                changed.notify_all()  # a message made visible again is one to receive

    return wrapper


def _receive_message(
    self: Any,
    stock: Callable[..., list[Any]],
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,
    visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[Any]:
    queue = self.get_queue(queue_name)
    until = time.monotonic() + (wait_seconds_timeout or 0)
    with queue._messages_lock:
        while True:
            messages = stock(
                self, queue_name, count, 0, visibility_timeout, message_attribute_names
            )
            left = until - time.monotonic()
            if messages or left <= 0:
                return messages
            queue._messages_lock.wait(min(left, seconds_until_visible(queue)))


def seconds_until_visible(queue: Any) -> float:
    """How long to wait at most before a hidden message of this queue may have become visible.

    To be called with the queue's lock held.
    """
    now = time.time() * 1000
    moments = (max(m.visible_at, m.delayed_until) for m in queue._messages)
    soonest = min((moment for moment in moments if moment > now), default=now + 1e9)
    return min((soonest - now) / 1000 + 0.002, _LONGEST_WAIT_SECONDS)

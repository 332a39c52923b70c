"""A repair of moto's transactions: what a failed one puts back is copied once, not once a write.

moto copies the whole table, deeply, for every write of a transaction. A hundred attempts that end
together took seconds, in which the embedded AWS answered nobody.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

from glovebox_local.aws.contract import moto_module


def install() -> None:
    """Apply the repair; to be called once per process."""
    tables = moto_module("dynamodb.models").DynamoDBBackend
    stock = tables.transact_write_items
    tables.transact_write_items = functools.partialmethod(_transact_write_items, stock)


def _transact_write_items(
    self: Any, stock: Callable[..., None], transact_items: Sequence[dict[str, Any]]
) -> None:
    writes = [next(iter(write.items())) for write in transact_items]
    named = {write.get("TableName") for _, write in writes}
    tables = [self.tables[name] for name in named if name in self.tables]
    for table in tables:
        own = [(kind, write) for kind, write in writes if write.get("TableName") == table.name]
        # Where moto asks for a copy of the table, this one is handed out. A stream, which the
        # writes append to, would have to be put back as well: then moto's own way is taken.
        if table.stream_shard is None:
            table.__deepcopy__ = _handing_out(_before(table, own))
    try:
        stock(self, transact_items)
    finally:
        for table in tables:
            table.__dict__.pop("__deepcopy__", None)


def _handing_out(kept: Any) -> Callable[[dict[int, Any]], Any]:
    return lambda _memo: kept


def _before(table: Any, writes: Sequence[tuple[str, dict[str, Any]]]) -> Any:
    """The table as it is now, sharing with it what these writes leave alone."""
    kept = copy.copy(table)
    kept.items = copy.copy(table.items)
    dynamo_type = moto_module("dynamodb.models.dynamo_type").DynamoType
    for kind, write in writes:
        key = write["Item" if kind == "Put" else "Key"]
        hash_key = dynamo_type(key[table.hash_key_attr])
        if hash_key not in table.items:
            continue
        if table.range_key_attr is None:
            if kind == "Update":  # in place; all others replace or remove the item
                kept.items[hash_key] = copy.deepcopy(table.items[hash_key])
            continue
        if kept.items[hash_key] is table.items[hash_key]:
            kept.items[hash_key] = dict(table.items[hash_key])
        range_key = dynamo_type(key[table.range_key_attr])
        if kind == "Update" and range_key in table.items[hash_key]:
            kept.items[hash_key][range_key] = copy.deepcopy(table.items[hash_key][range_key])
    return kept

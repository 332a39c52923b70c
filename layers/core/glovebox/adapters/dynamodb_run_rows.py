"""The ledger's runs, and how the last run of each name ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from glovebox.adapters.dynamodb_table import KEEP_SECONDS, LedgerTable, key_of
from glovebox.domain.errors import NotFound, StoreConflict
from glovebox.domain.moment import to_timestamp
from glovebox.domain.outcome import RunState
from glovebox.domain.run import Run

UPDATE_TRIES = 20


class RunRows(LedgerTable):
    """The part of `ports.Runs` about runs."""

    def create_run(self, run: Run) -> None:
        """Write a new run. Raises StoreConflict if its id exists."""
        self._put(_run_item(run, 1), "attribute_not_exists(pk)")

    def run(self, run_id: str) -> Run:
        """Read a run, consistently. Raises NotFound."""
        return self._read_run(run_id)[0]

    def update_run(self, run_id: str, **changes: Any) -> Run:
        """Change fields of a run that is not finished. Raises StoreConflict if it is."""
        for _ in range(UPDATE_TRIES):
            run, rev = self._read_run(run_id)
            if run.is_finished:
                message = f"run {run_id} is finished"
                raise StoreConflict(message)
            changed = Run.model_validate({**run.model_dump(), **changes})
            if changed == run:
                return run
            try:
                self._put(_run_item(changed, rev + 1), "rev = :rev", {":rev": {"N": str(rev)}})
            except StoreConflict:
                continue  # somebody else changed another field: read again
            return changed
        message = f"run {run_id} changed {UPDATE_TRIES} times under an update"
        raise StoreConflict(message)

    def request_stop(self, run_id: str, reason: str) -> Run:
        """Note why the run stops launching; the first reason stays. Finished runs are left."""
        run = self.run(run_id)
        if run.is_finished or run.stop_reason is not None:
            return run
        try:
            return self.update_run(run_id, stop_reason=reason)
        except StoreConflict:
            return self.run(run_id)

    def _read_run(self, run_id: str) -> tuple[Run, int]:
        item = self._client.get_item(
            TableName=self._table, Key=key_of(run_id, "run"), ConsistentRead=True
        ).get("Item")
        if item is None:
            message = f"no run {run_id}"
            raise NotFound(message)
        return Run.model_validate_json(item["doc"]["S"]), int(item["rev"]["N"])

    def list_runs(
        self, *, limit: int, cursor: str | None, owners: Sequence[str] | None = None
    ) -> tuple[Sequence[Run], str | None]:
        """Runs, newest first, and where to go on: the place to look before."""
        by_owner = ("ByOwner", "run_owner", "listed_at", owners or ())
        by_state = ("ByState", "state_pk", "created_at", ("open", "finished"))
        index, group, place, groups = by_state if owners is None else by_owner
        found: list[Run] = []
        for one in groups:
            values = {":one": {"S": one}}
            condition = f"{group} = :one"
            if cursor is not None:
                values[":before"] = {"S": cursor}
                condition += f" AND {place} < :before"
            answer = self._client.query(
                TableName=self._table,
                IndexName=index,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ScanIndexForward=False,
                Limit=limit,
            )
            found += [Run.model_validate_json(item["doc"]["S"]) for item in answer["Items"]]
        found.sort(key=lambda run: run.listed_at, reverse=True)
        page = found[:limit]
        if not page or (len(found) <= limit and len(page) < limit):
            return page, None
        return page, to_timestamp(page[-1].created_at) if owners is None else page[-1].listed_at

    def open_runs(self) -> Iterator[Run]:
        """All runs that are not finished."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="ByState",
            KeyConditionExpression="state_pk = :state",
            ExpressionAttributeValues={":state": {"S": "open"}},
        )
        for page in pages:
            for item in page["Items"]:
                yield Run.model_validate_json(item["doc"]["S"])

    def previous_conclusion(self, run: Run) -> str | None:
        """How the last finished run of that name, other than this one, ended."""
        last = self._last(run.name)
        if last.get("run_id") == run.run_id:
            return last.get("previous")
        return last.get("conclusion")

    def note_conclusion(self, run: Run) -> None:
        """Remember a finished run as the last of its name, unless a later one was noted."""
        last = self._last(run.name)
        finished_at = run.finished_at or 0.0
        if last.get("run_id") == run.run_id or last.get("finished_at", 0.0) > finished_at:
            return
        document = {
            "run_id": run.run_id,
            "conclusion": run.conclusion,
            "previous": last.get("conclusion"),
            "finished_at": finished_at,
        }
        self._client.put_item(
            TableName=self._table,
            Item={
                "pk": {"S": f"name#{run.name}"},
                "sk": {"S": "last"},
                "doc": {"S": json.dumps(document)},
            },
        )

    def _last(self, name: str) -> dict[str, Any]:
        key = {"pk": {"S": f"name#{name}"}, "sk": {"S": "last"}}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get(
            "Item"
        )
        return dict(json.loads(item["doc"]["S"])) if item else {}


def _run_item(run: Run, rev: int) -> dict[str, dict[str, str]]:
    return {
        **key_of(run.run_id, "run"),
        "rev": {"N": str(rev)},
        "doc": {"S": run.model_dump_json()},
        "state_pk": {"S": "finished" if run.state is RunState.FINISHED else "open"},
        "created_at": {"S": to_timestamp(run.created_at)},
        "run_owner": {"S": run.owner},
        "listed_at": {"S": run.listed_at},
        "expires_at": {"N": str(int(run.created_at + KEEP_SECONDS))},
    }

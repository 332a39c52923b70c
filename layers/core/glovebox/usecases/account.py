"""What the API tells of runs while they are under way and after."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glovebox.domain import keys
from glovebox.domain.attempt import Attempt
from glovebox.domain.caller import visible_owners
from glovebox.domain.documents import DOCUMENTS, DocumentFormat
from glovebox.domain.errors import NotFound
from glovebox.domain.log import Log
from glovebox.domain.moment import to_epoch_seconds, to_timestamp
from glovebox.domain.outcome import StopReason
from glovebox.domain.run import Run
from glovebox.domain.run_filter import RunFilter
from glovebox.ports import Artifacts, Runs

CHANGES_PER_PAGE = 500
OVERLAP_SECONDS = 2.0
"""Launchers' clocks differ a little, and a write may arrive after a later one: every page
starts this much before the last. A client that has seen a change drops it."""
_PLACE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z#[A-Za-z0-9-]{1,80}")
URL_SECONDS = 900
ROWS_PER_READ = 100
READS_PER_PAGE = 5
"""A filter that takes next to nothing is not to read the whole ledger in one request."""
EVERY_RUN = RunFilter()


@dataclass
class RunAccount:
    """Reads the ledger for the outside. Every method raises NotFound for a run that is unknown or
    not for `owner` to see, and nobody can tell the two apart."""

    runs: Runs
    artifacts: Artifacts

    def visible(self, run_id: str, owner: str) -> Run:
        """The run, if it is for the owner to see."""
        try:
            run = self.runs.run(run_id)
        except NotFound:
            run = None
        if run is None or run.owner not in visible_owners(owner):
            message = f"no run {run_id}"
            raise NotFound(message)
        return run

    def run(self, run_id: str, owner: str) -> dict[str, Any]:
        """One run."""
        return run_document(self.visible(run_id, owner))

    def list(
        self, owner: str, limit: int, cursor: str | None, wanted: RunFilter = EVERY_RUN
    ) -> dict[str, Any]:
        """The runs that the owner may see, newest first. With a filter a page may be short, or
        empty, and there is more all the same where `next` is set. Raises ValueError for a foreign
        cursor.
        """
        if cursor is not None and not _PLACE.fullmatch(cursor):
            message = "not a cursor of this list"
            raise ValueError(message)
        found, following = self._page(owner, limit, cursor, wanted)
        return {"runs": [run_document(run) for run in found], "next": following}

    def _page(
        self, owner: str, limit: int, cursor: str | None, wanted: RunFilter
    ) -> tuple[Sequence[Run], str | None]:
        found: list[Run] = []
        for _ in range(READS_PER_PAGE):
            runs, cursor = self.runs.list_runs(
                limit=limit if wanted.takes_all else ROWS_PER_READ,
                cursor=cursor,
                owners=visible_owners(owner),
            )
            for run in runs:
                if wanted.is_past(run):
                    return found, None
                if wanted.takes(run):
                    found.append(run)
                if len(found) == limit:
                    is_last = cursor is None and run is runs[-1]
                    return found, None if is_last else run.listed_at
            if cursor is None:
                break
        return found, cursor

    def changes(self, run_id: str, owner: str, since: str | None) -> dict[str, Any]:
        """The run, the attempts that changed since a cursor, oldest first, and the next cursor.

        The run is read first: what ends between the two reads is told next time, but never
        missed behind a state that says finished. Raises ValueError for a foreign cursor.
        """
        run = self.visible(run_id, owner)
        after = to_epoch_seconds(since) if since else 0.0
        found = self.runs.attempts_changed_since(
            run_id, max(0.0, after - OVERLAP_SECONDS), CHANGES_PER_PAGE
        )
        newest = max([after, *(attempt.changed_at for attempt in found)])
        if len(found) == CHANGES_PER_PAGE:
            # A full page overlaps less, or a burst within the overlap would never be passed.
            newest += OVERLAP_SECONDS
        return {
            "run": run_document(run),
            "attempts": [_change_document(attempt) for attempt in found],
            "cursor": to_timestamp(newest),
        }

    def test(self, run_id: str, owner: str, key: str) -> dict[str, Any]:
        """All attempts at one test, with their logs."""
        self.visible(run_id, owner)
        attempts = self.runs.attempts_of_test(run_id, key)
        if not attempts:
            message = f"no attempt at a test {key} in run {run_id}"
            raise NotFound(message)
        first = attempts[0]
        return {
            "suite": first.suite,
            "test_id": first.test_id,
            "key": key,
            "attempts": [self._attempt_document(attempt) for attempt in attempts],
        }

    def report_url(self, run_id: str, owner: str, wanted: DocumentFormat) -> dict[str, Any]:
        """Where to fetch a report."""
        file_name = DOCUMENTS[wanted].file_name
        run = self.visible(run_id, owner)
        if not run.is_finished or run.summary is None:
            message = f"run {run_id} has no report"
            raise ReportNotReady(message)
        key = keys.report_key(run_id, file_name)
        return {
            "url": self.artifacts.download_url(key, expires_in_seconds=URL_SECONDS),
            "expires_in_seconds": URL_SECONDS,
        }

    def cancel(self, run_id: str, owner: str) -> dict[str, Any]:
        """Ask a run to stop. Asking again, or after its end, changes nothing."""
        self.visible(run_id, owner)
        return run_document(self.runs.request_stop(run_id, StopReason.CANCELLED))

    def _attempt_document(self, attempt: Attempt) -> dict[str, Any]:
        inside = {"log", "run_id", "suite", "test_id", "nonce", "ends_at"}
        document = attempt.model_dump(mode="json", exclude=inside)
        document["log"] = self._log_document(attempt.log)
        return document

    def _log_document(self, log: Log | None) -> dict[str, Any] | None:
        if log is None:
            return None
        url = None
        if log.key is not None:
            url = self.artifacts.download_url(log.key, expires_in_seconds=URL_SECONDS)
        return {"text": log.text, "url": url, "bytes": log.bytes, "truncated": log.truncated}


class ReportNotReady(NotFound):
    """The run exists and has no report yet, or was refused and never will have one."""


def run_document(run: Run) -> dict[str, Any]:
    """A run, as the outside is told of it."""
    times = ("created_at", "started_at", "finished_at", "deadline_at")
    document = run.model_dump(mode="json", exclude={"stop_reason", *times})
    for name in times:
        value = getattr(run, name)
        document[name] = None if value is None else to_timestamp(value)
    if not run.is_finished:
        # Known inside from the moment that the end begins; outside, an end is an end.
        document["finished_at"] = None
    document["cancel_requested"] = run.stop_reason is StopReason.CANCELLED
    return document


def _change_document(attempt: Attempt) -> dict[str, Any]:
    return {
        "suite": attempt.suite,
        "test_id": attempt.test_id,
        "key": attempt.key,
        "number": attempt.number,
        "state": attempt.state.value,
        "outcome": attempt.outcome,
        "duration_seconds": attempt.duration_seconds,
        "message": attempt.message,
        "sandbox_id": attempt.sandbox_id,
        "started_at": None if attempt.started_at is None else to_timestamp(attempt.started_at),
        "changed_at": to_timestamp(attempt.changed_at),
    }

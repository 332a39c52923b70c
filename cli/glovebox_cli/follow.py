"""Looking at a run until it ends, and telling the watchers what changed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from glovebox.domain.report import Report

from glovebox_cli.api_client import ApiClient, ApiRefused, ApiUnreachable
from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.interruption import Interruption
from glovebox_cli.progress import Watcher
from glovebox_cli.safe_text import one_line
from glovebox_cli.views import AttemptView, RunView

FASTEST_LOOK_SECONDS = 0.15
SLOWEST_LOOK_SECONDS = 1.0
PAUSE_PER_SECOND = 0.03
"""Seconds between looks for every second that the run has taken."""
FAREWELL_SECONDS = 10.0
"""How long an interrupted command waits for the run to end."""
_CANCEL_SECONDS = 3.0


class Follower:
    """Follows one run. Repeats and stragglers of the API never reach the watchers."""

    def __init__(
        self, api: ApiClient, run_id: str, watchers: Sequence[Watcher], stop: Interruption
    ) -> None:
        self._api = api
        self._run_id = run_id
        self._watchers = watchers
        self._stop = stop
        self._cursor: str | None = None
        self._started: set[tuple[str, int]] = set()
        self._finished: set[tuple[str, int]] = set()
        self._farewell_ends: float | None = None

    def follow(self) -> RunView | None:
        """Follow to the end and return the finished run; None if interrupted before it ended."""
        began = time.monotonic()
        while True:
            if self._stop.requested and self._farewell_ends is None:
                self._cancel()
            try:
                run = self._look()
            except (ApiUnreachable, ApiRefused) as error:
                if self._farewell_ends is not None or self._stop.requested:
                    return None
                raise self._lost(error) from error
            if run.is_finished:
                return run
            if self._farewell_ends is not None and time.monotonic() > self._farewell_ends:
                return None
            # Every look costs the other side; who has waited long can wait a little longer.
            pause = PAUSE_PER_SECOND * (time.monotonic() - began)
            pause = min(max(pause, FASTEST_LOOK_SECONDS), SLOWEST_LOOK_SECONDS)
            self._stop.sleep(pause, until=self._wants_farewell)

    def complete(self, report: Report) -> None:
        """Tell of every attempt in the report that was not seen while it happened."""
        for test in report.tests:
            for attempt in test.attempts:
                self._tell(
                    AttemptView(
                        suite=test.suite,
                        test_id=test.test_id,
                        key=test.key,
                        number=attempt.number,
                        outcome=attempt.outcome,
                        duration_seconds=attempt.duration_seconds,
                        message=attempt.message,
                        sandbox_id=attempt.sandbox_id,
                    )
                )

    def _look(self) -> RunView:
        run, attempts, self._cursor = self._api.changes(self._run_id, self._cursor)
        for attempt in attempts:
            self._tell(attempt)
        for watcher in self._watchers:
            watcher.run_changed(run)
        return run

    def _tell(self, attempt: AttemptView) -> None:
        """Pass on what is news; an attempt that has ended does not start again."""
        identity = (attempt.key, attempt.number)
        if identity in self._finished:
            return
        if attempt.is_finished:
            self._finished.add(identity)
        elif identity in self._started:
            return
        self._started.add(identity)
        for watcher in self._watchers:
            watcher.attempt_changed(attempt)

    def _wants_farewell(self) -> bool:
        return self._stop.requested and self._farewell_ends is None

    def _cancel(self) -> None:
        self._note(f"Interrupted: cancelling {self._run_id}… (Ctrl-C again leaves at once)")
        self._farewell_ends = time.monotonic() + FAREWELL_SECONDS
        patience, self._api.patience_seconds = self._api.patience_seconds, _CANCEL_SECONDS
        give_up, self._api.give_up = self._api.give_up, lambda: False
        try:
            self._api.cancel(self._run_id)
        except (ApiUnreachable, ApiRefused) as error:
            self._note(f"The run could not be cancelled: {one_line(str(error))}")
        finally:
            self._api.patience_seconds, self._api.give_up = patience, give_up

    def _note(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.note(text)

    def _lost(self, error: Exception) -> CommandFailure:
        message = f"lost sight of run {self._run_id}: {one_line(str(error))}"
        return CommandFailure(
            message,
            code=ExitCode.ERRORED,
            hint=f"The run may still go on: glovebox status {self._run_id} --api {self._api.url}",
        )

"""Fold attempts, counted against the plan, into the report. Order and repeats do not matter.

The first report that is written is the run's: whoever reduces it at the same time, or again
after a crash, goes on from that one, so that no two accounts of a run ever exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from glovebox.domain import keys
from glovebox.domain.attempt import Attempt, AttemptState, Fault
from glovebox.domain.documents import DOCUMENTS, DocumentFormat
from glovebox.domain.errors import NotFound, StoreConflict
from glovebox.domain.moment import to_epoch_seconds
from glovebox.domain.notice import RunEvent, RunFinished
from glovebox.domain.outcome import Outcome, RunState, StopReason
from glovebox.domain.plan import Plan, PlannedTest
from glovebox.domain.report import Report, make_report
from glovebox.domain.run import Run
from glovebox.ports import Artifacts, Clock, Runs
from glovebox.usecases.rounds import DOCUMENT_LIMIT_BYTES, JSON_TYPE, read_plan

_JSON = DOCUMENTS[DocumentFormat.JSON]


@dataclass(frozen=True)
class Notification:
    """What subscribers are told of a finished run. The same for every repeat."""

    message: str
    """JSON, version 1 of `run.finished`."""
    name: str
    conclusion: str
    changed: bool
    """Whether the run of that name before this one ended otherwise."""

    @property
    def attributes(self) -> dict[str, str]:
        """What subscribers filter by."""
        return {
            "event": RunEvent.FINISHED.value,
            "name": self.name,
            "conclusion": self.conclusion,
            "changed": "true" if self.changed else "false",
        }


@dataclass
class ReduceRun:
    """Writes the reports, then finishes the run."""

    runs: Runs
    artifacts: Artifacts
    clock: Clock

    def __call__(self, run_id: str, broken: str | None = None) -> Notification:
        """Reduce the run. `broken` says why it could not go on, if it could not."""
        run = self.runs.run(run_id)
        report = self._stored_report(run_id)
        if report is None:
            report = self._report(run, broken)
        if not run.is_finished:
            run = self._finish(run, report)
        return self._notification(run, report)

    def _stored_report(self, run_id: str) -> Report | None:
        key = keys.report_key(run_id, _JSON.file_name)
        try:
            content = self.artifacts.get(key, limit=DOCUMENT_LIMIT_BYTES)
        except NotFound:
            return None
        return Report.model_validate_json(content)

    def _report(self, run: Run, broken: str | None) -> Report:
        """The run's report: made from the ledger, unless another reducer was quicker."""
        try:
            if run.finished_at is None:
                run = self.runs.update_run(
                    run.run_id,
                    state=RunState.REDUCING,
                    finished_at=self.clock.now(),
                    message=broken,
                )
        except StoreConflict:
            # It has finished just now.
            stored = self._stored_report(run.run_id)
            if stored is None:
                raise
            return stored
        plan = self._plan(run)
        read = list(self.runs.attempts(run.run_id))
        attempts = [ended for attempt in read if (ended := self._ended(run, attempt))]
        report = make_report(
            run,
            plan.tests,
            attempts,
            finished_at=run.finished_at or self.clock.now(),
            broken=run.message,
        )
        content = _JSON.write(report)
        if self.artifacts.put_new(keys.report_key(run.run_id, _JSON.file_name), content, JSON_TYPE):
            return report
        return self._stored_report(run.run_id) or report

    def _plan(self, run: Run) -> Plan:
        try:
            return read_plan(self.artifacts, run.run_id)
        except NotFound:
            # Stopped or broken before there was a plan: nothing was promised.
            tests: tuple[PlannedTest, ...] = ()
            return Plan(run_id=run.run_id, name=run.name, tests=tests, bundle_key="", parallelism=1)

    def _ended(self, run: Run, attempt: Attempt) -> Attempt | None:
        """The attempt, closed: what is still said of it later would not be in the report.

        None where it was taken back: whoever opened it has seen that the end had come.
        """
        if attempt.state is not AttemptState.RUNNING:
            return attempt
        ended = _closed(attempt, run.stop_reason, self.clock.now())
        try:
            self.runs.close_attempts([ended])
        except StoreConflict:
            # It was recorded this very moment, by somebody slow: that stands.
            recorded = self.runs.attempts_of_test(attempt.run_id, attempt.key)
            return next((a for a in recorded if a.number == attempt.number), None)
        return ended

    def _finish(self, run: Run, report: Report) -> Run:
        for kind in DOCUMENTS.values():
            if kind is not _JSON:  # it is there: what all others are made of
                key = keys.report_key(run.run_id, kind.file_name)
                self.artifacts.put(key, kind.write(report), kind.media_type)
        try:
            finished = self.runs.update_run(
                run.run_id,
                state=RunState.FINISHED,
                conclusion=report.conclusion,
                summary=report.summary.model_dump(),
                # As the report says, whoever of several reducers wrote it.
                finished_at=to_epoch_seconds(report.finished_at),
                message=report.message,
            )
        except StoreConflict:
            return self.runs.run(run.run_id)
        return finished

    def _notification(self, run: Run, report: Report) -> Notification:
        """What was told first: by a repeat, the run before this one may be another."""
        previous = self.runs.previous_conclusion(run)
        told = self._message(run, report, previous).model_dump_json()
        key = keys.notice_key(run.run_id)
        if not self.artifacts.put_new(key, told.encode(), JSON_TYPE):
            told = self.artifacts.get(key, limit=DOCUMENT_LIMIT_BYTES).decode()
            previous = RunFinished.model_validate_json(told).previous_conclusion
        self.runs.note_conclusion(run)
        changed = previous is not None and previous != report.conclusion
        return Notification(told, run.name, report.conclusion.value, changed)

    def _message(self, run: Run, report: Report, previous: str | None) -> RunFinished:
        return RunFinished(
            run_id=run.run_id,
            name=run.name,
            conclusion=report.conclusion,
            previous_conclusion=previous,
            summary=report.summary,
            reports={
                word: self.artifacts.uri(keys.report_key(run.run_id, kind.file_name))
                for word, kind in DOCUMENTS.items()
            },
            origin=run.origin,
        )


def _closed(attempt: Attempt, stop_reason: StopReason | None, now: float) -> Attempt:
    """An attempt of which nothing was heard any more."""
    lost = {
        "outcome": Outcome.ERRORED,
        "fault": Fault.LOST,
        "message": "lost: whoever drove this attempt vanished",
    }
    stopped = {"outcome": Outcome.CANCELLED, "message": "the run was stopped"}
    told = lost if stop_reason is None else stopped
    return attempt.model_copy(
        update={
            "state": AttemptState.FINISHED,
            "changed_at": now,
            "ends_at": None,
            "nonce": None,
            **told,
        }
    )

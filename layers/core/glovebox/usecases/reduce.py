"""Fold attempts, counted against the plan, into the report. Order and repeats do not matter."""

from __future__ import annotations

from dataclasses import dataclass

from glovebox.domain import keys
from glovebox.domain.errors import NotFound, StoreConflict
from glovebox.domain.junit import to_junit
from glovebox.domain.notice import RunEvent, RunFinished
from glovebox.domain.outcome import RunState
from glovebox.domain.plan import Plan, PlannedTest
from glovebox.domain.report import Report, make_report
from glovebox.domain.run import Run
from glovebox.ports import Artifacts, Clock, Runs
from glovebox.usecases.rounds import DOCUMENT_LIMIT_BYTES, JSON_TYPE, read_plan

REPORT_JSON = "report.json"
JUNIT_XML = "junit.xml"
XML_TYPE = "application/xml"


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
        if run.is_finished:
            return self._notification(run, self._stored_report(run_id))
        # The end is fixed before the report is made, so that a repeat makes the same report.
        if run.finished_at is None:
            run = self.runs.update_run(
                run_id, state=RunState.REDUCING, finished_at=self.clock.now(), message=broken
            )
        plan = self._plan(run)
        attempts = list(self.runs.attempts(run_id))
        report = make_report(
            run,
            plan.tests,
            attempts,
            finished_at=run.finished_at or self.clock.now(),
            broken=run.message,
        )
        self._store(run_id, report)
        return self._notification(self._finish(run, report), report)

    def _plan(self, run: Run) -> Plan:
        try:
            return read_plan(self.artifacts, run.run_id)
        except NotFound:
            # Stopped or broken before there was a plan: nothing was promised.
            tests: tuple[PlannedTest, ...] = ()
            return Plan(run_id=run.run_id, name=run.name, tests=tests, bundle_key="", parallelism=1)

    def _store(self, run_id: str, report: Report) -> None:
        content = report.model_dump_json(indent=1).encode()
        self.artifacts.put(keys.report_key(run_id, REPORT_JSON), content, JSON_TYPE)
        self.artifacts.put(keys.report_key(run_id, JUNIT_XML), to_junit(report), XML_TYPE)

    def _finish(self, run: Run, report: Report) -> Run:
        try:
            finished = self.runs.update_run(
                run.run_id,
                state=RunState.FINISHED,
                conclusion=report.conclusion,
                summary=report.summary.model_dump(),
            )
        except StoreConflict:
            return self.runs.run(run.run_id)
        return finished

    def _stored_report(self, run_id: str) -> Report:
        key = keys.report_key(run_id, REPORT_JSON)
        return Report.model_validate_json(self.artifacts.get(key, limit=DOCUMENT_LIMIT_BYTES))

    def _notification(self, run: Run, report: Report) -> Notification:
        previous = self.runs.previous_conclusion(run)
        self.runs.note_conclusion(run)
        changed = previous is not None and previous != report.conclusion
        message = RunFinished(
            run_id=run.run_id,
            name=run.name,
            conclusion=report.conclusion,
            previous_conclusion=previous,
            summary=report.summary,
            reports={
                "json": self.artifacts.uri(keys.report_key(run.run_id, REPORT_JSON)),
                "junit": self.artifacts.uri(keys.report_key(run.run_id, JUNIT_XML)),
            },
            origin=run.origin,
        )
        return Notification(message.model_dump_json(), run.name, report.conclusion.value, changed)

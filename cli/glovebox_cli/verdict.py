"""What a finished run comes to. The report is the proof; without it nothing counts as passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from glovebox.domain.outcome import Conclusion, Outcome
from glovebox.domain.report import Report
from pydantic import ValidationError

from glovebox_cli.api_client import ApiClient, ApiRefused, ApiUnreachable
from glovebox_cli.exit_codes import CODE_OF_CONCLUSION, ExitCode
from glovebox_cli.safe_text import one_line
from glovebox_cli.views import RunView

REPORT_SECONDS = 5.0
"""How long a finished run's report may be late."""
_WITHOUT_REPORT = frozenset(
    {
        Conclusion.REJECTED,
        Conclusion.ERRORED,
        Conclusion.NO_TESTS,
        Conclusion.TIMED_OUT,
        Conclusion.CANCELLED,
    }
)
"""Conclusions that a run may reach before there is anything to report."""
_SPOILING = (Outcome.FAILED, Outcome.ERRORED, Outcome.TIMED_OUT, Outcome.CANCELLED)


class ReportRefused(ValueError):
    """The report does not prove what it claims."""


@dataclass(frozen=True)
class Verdict:
    """How the command ends."""

    code: ExitCode
    conclusion: Conclusion | None = None
    report: Report | None = None
    raw: bytes | None = None
    """report.json exactly as it is stored."""
    problem: str | None = None
    """Why there is no report, or why it is not believed."""


def judge(api: ApiClient, run: RunView, sleep: Callable[[float], None]) -> Verdict:
    """Fetch a finished run's report, check it, and say what it comes to."""
    try:
        raw = _fetch(api, run, sleep)
    except ApiRefused as error:
        return _without_report(run, one_line(str(error)))
    except ApiUnreachable as error:
        problem = f"the report could not be fetched: {one_line(str(error))}"
        return Verdict(ExitCode.ERRORED, run.conclusion, problem=problem)
    try:
        report = checked_report(raw, run)
    except ReportRefused as error:
        return Verdict(ExitCode.ERRORED, problem=f"the report is not believed: {error}")
    return Verdict(CODE_OF_CONCLUSION[report.conclusion], report.conclusion, report, raw)


def checked_report(raw: bytes, run: RunView) -> Report:
    """Read report.json and hold it against itself and the run. Raises ReportRefused."""
    try:
        # Strict: a count that is a text, or a missing field, is no proof of anything.
        report = Report.model_validate_json(raw, strict=True)
    except (ValidationError, RecursionError) as error:
        reason = f"it is malformed: {_first_words(error)}"
        raise ReportRefused(reason) from error
    if report.schema_version != 1:
        reason = f"schema_version {report.schema_version} is unknown; a newer glovebox may read it"
        raise ReportRefused(reason)
    if report.run_id != run.run_id:
        reason = f"it is of another run, {one_line(report.run_id)}"
        raise ReportRefused(reason)
    if report.conclusion is not run.conclusion:
        reason = f"it says {report.conclusion}, and the run says {run.conclusion}"
        raise ReportRefused(reason)
    if run.total is not None and report.summary.total != run.total:
        reason = f"{run.total} tests were planned, and it accounts for {report.summary.total}"
        raise ReportRefused(reason)
    _check_conclusion(report)
    return report


def _check_conclusion(report: Report) -> None:
    summary = report.summary
    spoilt = {o.value: getattr(summary, o.value) for o in _SPOILING if getattr(summary, o.value)}
    if report.conclusion is Conclusion.PASSED and (spoilt or not summary.total):
        found = ", ".join(f"{count} {word}" for word, count in spoilt.items()) or "no tests"
        reason = f"it says passed, and holds {found}"
        raise ReportRefused(reason)
    if report.conclusion is Conclusion.NO_TESTS and summary.total:
        reason = f"it says no_tests, and holds {summary.total}"
        raise ReportRefused(reason)
    for test in report.tests:
        # A pass needs an attempt that passed; only the cache may stand in for one.
        proven = test.cached or any(a.outcome is Outcome.PASSED for a in test.attempts)
        if test.result is Outcome.PASSED and not proven:
            reason = f"{one_line(test.test_id)} passed without an attempt that did"
            raise ReportRefused(reason)


def _fetch(api: ApiClient, run: RunView, sleep: Callable[[float], None]) -> bytes:
    if run.summary is None and run.conclusion in _WITHOUT_REPORT:
        return api.report(run.run_id, "json")  # most likely there never will be one
    pauses = [0.2] * int(REPORT_SECONDS / 0.2)
    for pause in pauses:
        try:
            return api.report(run.run_id, "json")
        except ApiRefused as error:
            if error.code != "report_not_ready":
                raise
        sleep(pause)
    return api.report(run.run_id, "json")


def _without_report(run: RunView, reason: str) -> Verdict:
    conclusion = run.conclusion
    if conclusion in _WITHOUT_REPORT:
        words = one_line(run.message) if run.message else "the run ended before its report"
        return Verdict(CODE_OF_CONCLUSION[conclusion], conclusion, problem=words)
    problem = f"the run is said to have {conclusion or 'ended'}, but has no report: {reason}"
    return Verdict(ExitCode.ERRORED, conclusion, problem=problem)


def _first_words(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return one_line(f"{place}: {first['msg']}" if place else first["msg"])

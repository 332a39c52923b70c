"""CTRF JSON from a report: the Common Test Report Format, specification 0.0.0 (ctrf.io)."""

from __future__ import annotations

import json
from typing import Any

from glovebox.domain.moment import to_epoch_seconds
from glovebox.domain.outcome import Outcome
from glovebox.domain.plain_text import plain
from glovebox.domain.report import AttemptReport, Report, TestReport

SPEC_VERSION = "0.0.0"
STATUS = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "failed",
    Outcome.TIMED_OUT: "failed",
    Outcome.ERRORED: "other",
    Outcome.CANCELLED: "other",
    Outcome.SKIPPED: "skipped",
}
"""CTRF's word for a result; `rawStatus` has ours. What was not found out is not `failed`."""


def to_ctrf(report: Report) -> bytes:
    """The report as CTRF JSON, UTF-8. Times are milliseconds, as the format has them."""
    statuses = [STATUS[test.result] for test in report.tests]
    start, stop = _milliseconds(report.started_at), _milliseconds(report.finished_at)
    document = {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "runId": report.run_id,
        "generatedBy": "glovebox",
        "results": {
            "tool": {"name": "glovebox"},
            "summary": {
                "tests": len(report.tests),
                **{word: statuses.count(word) for word in ("passed", "failed", "skipped", "other")},
                "pending": 0,
                "flaky": report.summary.flaky,
                "suites": len({test.suite for test in report.tests}),
                "start": start,
                "stop": stop,
                "extra": {"conclusion": report.conclusion.value},
            },
            "tests": [_test(test) for test in report.tests],
            "environment": {"reportName": plain(report.name)},
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _test(test: TestReport) -> dict[str, Any]:
    attempts = test.attempts
    return {
        "name": plain(test.test_id),
        "testId": test.key,
        "status": STATUS[test.result],
        "rawStatus": test.result.value,
        "duration": _duration(test.duration_seconds),
        "suite": [plain(test.suite)],
        **_known(message=_plain(test.message), filePath=_plain(test.file), line=test.line),
        "retries": max(0, len(attempts) - 1),
        **({"retryAttempts": [_attempt(a) for a in attempts[:-1]]} if attempts[1:] else {}),
        "flaky": test.flaky,
        **({"stdout": _log(attempts[-1])} if attempts else {}),
        "extra": {"atom": test.atom.value, "cached": test.cached},
    }


def _attempt(attempt: AttemptReport) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "status": STATUS[attempt.outcome],
        "duration": _duration(attempt.duration_seconds),
        **_known(message=_plain(attempt.message)),
        "stdout": _log(attempt),
        "extra": {"outcome": attempt.outcome.value, "sandbox_id": attempt.sandbox_id},
    }


def _log(attempt: AttemptReport) -> list[str]:
    """The lines of a log that travels in the report; a long one is an object of its own."""
    text = attempt.log.text if attempt.log is not None else None
    return plain(text).splitlines() if text else []


def _known(**facts: object) -> dict[str, object]:
    return {name: fact for name, fact in facts.items() if fact is not None}


def _plain(text: str | None) -> str | None:
    return None if text is None else plain(text)


def _duration(seconds: float | None) -> int:
    return round((seconds or 0.0) * 1000)


def _milliseconds(moment: str) -> int:
    return round(to_epoch_seconds(moment) * 1000)

"""`-o github`: what GitHub Actions shows beside the code, and in the summary of the step.

Workflow commands: docs.github.com/actions/reference/workflow-commands-for-github-actions. A step
shows 10 errors and 10 warnings at most.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from glovebox.domain.markdown import to_markdown
from glovebox.domain.outcome import Outcome
from glovebox.domain.plain_text import plain
from glovebox.domain.report import Report, TestReport

MAX_OF_A_KIND = 10
MAX_MESSAGE_CHARACTERS = 2000
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
_BAD = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.ERRORED, Outcome.CANCELLED)


def workflow_commands(report: Report) -> str:
    """An error for each test that did not pass, a warning for each flaky one; the rest counted."""
    bad = [test for test in report.tests if test.result in _BAD]
    flaky = [test for test in report.tests if test.flaky]
    lines = [*_annotations("error", bad), *_annotations("warning", flaky)]
    summary = report.summary
    words = f"{report.conclusion.value}: {summary.passed} of {summary.total} tests passed"
    left_out = max(0, len(bad) - MAX_OF_A_KIND) + max(0, len(flaky) - MAX_OF_A_KIND)
    if left_out:
        words += f"; {left_out} more are not shown beside the code"
    lines.append(f"::notice title={_property(report.name)}::{_data(words)}")
    return "\n".join(lines) + "\n"


def append_summary(report: Report, environment: Mapping[str, str] = os.environ) -> None:
    """Add the Markdown to the step's summary, where GitHub names a file for it. Raises OSError."""
    path = environment.get(SUMMARY_VARIABLE)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(to_markdown(report) + "\n")


def _annotations(kind: str, tests: list[TestReport]) -> Iterator[str]:
    for test in tests[:MAX_OF_A_KIND]:
        place = {"file": test.file, "line": test.line}
        told = {name: value for name, value in place.items() if value is not None}
        title = f"{test.result.value.replace('_', ' ')}: {test.test_id[:200]}"
        if kind == "warning":
            title = f"flaky: {test.test_id[:200]}"
        facts = ",".join(
            f"{name}={_property(str(v))}" for name, v in {**told, "title": title}.items()
        )
        earlier = next((a.message for a in test.attempts if a.outcome in _BAD), None)
        message = plain(test.message or earlier or test.result.value)[:MAX_MESSAGE_CHARACTERS]
        yield f"::{kind} {facts}::{_data(message)}"


def _data(text: str) -> str:
    text = plain(text).replace("%", "%25")
    return text.replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

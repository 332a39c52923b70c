"""The end of a run, for people: the failures again, the sum, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from glovebox.domain.outcome import Conclusion, Outcome
from glovebox.domain.report import AttemptReport, Report, TestReport
from rich.text import Text

from glovebox_cli.logs import LogReader
from glovebox_cli.progress import LABELS
from glovebox_cli.report_folder import Written
from glovebox_cli.safe_text import bounded_lines, one_line

MOST_SHOWN_IN_FULL = 25
MOST_NAMED = 200
_MESSAGE_LINES = (12, 4)
_LOG_LINES = (15, 45)  # the end of a log tells more than its beginning
_SHOWN = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.ERRORED)
_STYLES = {
    Conclusion.PASSED: "bold green",
    Conclusion.NO_TESTS: "bold yellow",
    Conclusion.CANCELLED: "bold yellow",
}

Show = Callable[[Text], None]


@dataclass(frozen=True)
class Whereabouts:
    """Where the reader finds more."""

    written: Written = field(default_factory=Written)
    options: tuple[str, ...] = ()
    """What names the API on a command line."""
    is_own_stack: bool = False
    again: tuple[str, ...] | None = None
    """The command that runs the same again."""


def show_ending(show: Show, report: Report, logs: LogReader, where: Whereabouts) -> None:
    """Everything, in reading order: what is wrong stands just above the sum."""
    bad = [test for test in report.tests if test.result in _SHOWN]
    if bad:
        show(Text())
    for test in bad[:MOST_SHOWN_IN_FULL]:
        _show_test(show, report, test, logs, where)
    rest = bad[MOST_SHOWN_IN_FULL:]
    for test in rest[:MOST_NAMED]:
        show(_header(test))
    if len(rest) > MOST_NAMED:
        show(Text(f"… and {len(rest) - MOST_NAMED} more that did not pass"))
    show(Text())
    if report.message:
        show(Text(one_line(report.message), "bold"))
    show(summary_line(report))
    for path in where.written.files:
        show(Text.assemble(("report: ", "dim"), one_line(str(path))))
    _show_next(show, report, where)


def summary_line(report: Report) -> Text:
    """`FAILED  519 passed, 2 failed, 1 flaky in 12.3s, 521 sandboxes`."""
    summary = report.summary
    counts = [(outcome.value, getattr(summary, outcome.value)) for outcome in Outcome]
    counts += [("flaky", summary.flaky), ("cached", summary.cached)]
    words = ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in counts if n) or "no tests"
    boxes = report.usage.sandboxes
    plural = "" if boxes == 1 else "es"
    style = _STYLES.get(report.conclusion, "bold red")
    label = report.conclusion.value.replace("_", " ").upper()
    took = f" in {report.duration_seconds:.1f}s, {boxes} sandbox{plural}"
    return Text.assemble((label, style), "  ", words, took)


def command_line(words: Sequence[str]) -> str:
    """A command to copy, quoted for a shell and harmless to show."""
    return one_line(shlex.join(words))


def _header(test: TestReport) -> Text:
    label, style = LABELS[test.result]
    place = ""
    if test.file:
        place = f"  {one_line(test.file)}" + (f":{test.line}" if test.line else "")
    return Text.assemble(
        (f"{label:>7}", style),
        "  ",
        (one_line(test.suite), "cyan"),
        " ",
        one_line(test.test_id),
        (place, "dim"),
    )


def _show_test(
    show: Show, report: Report, test: TestReport, logs: LogReader, where: Whereabouts
) -> None:
    show(_header(test))
    if test.message:
        for line in bounded_lines(test.message, head=_MESSAGE_LINES[0], tail=_MESSAGE_LINES[1]):
            show(Text(f"         {line}"))
    attempt = _deciding(test)
    if attempt is not None:
        _show_log(show, report, test, attempt, logs, where)
    show(Text())


def _deciding(test: TestReport) -> AttemptReport | None:
    """The attempt that the result stands on: the last one that ended the same way."""
    same = [attempt for attempt in test.attempts if attempt.outcome is test.result]
    attempts = same or test.attempts
    return attempts[-1] if attempts else None


def _show_log(  # every argument is a different one of the ending's few facts
    show: Show,
    report: Report,
    test: TestReport,
    attempt: AttemptReport,
    logs: LogReader,
    where: Whereabouts,
) -> None:
    facts = [f"attempt {attempt.number} of {len(test.attempts)}"]
    if attempt.exit_code is not None:
        facts.append(f"exit code {attempt.exit_code}")
    if attempt.sandbox_id:
        facts.append(f"sandbox {one_line(attempt.sandbox_id)}")
    show(Text(f"       ┌ {', '.join(facts)}", "dim"))
    text = logs.read(test, attempt)
    lines = bounded_lines(text, head=_LOG_LINES[0], tail=_LOG_LINES[1])
    for line in lines:
        show(Text.assemble(("       │ ", "dim"), line))
    log = attempt.log
    if log is not None and (log.truncated or len(lines) == sum(_LOG_LINES) + 1):
        cut = f" ({log.bytes} bytes were printed, the middle is not kept)" if log.truncated else ""
        show(Text(f"       └ {_whole_log(report, test, attempt, where)}{cut}", "dim"))


def _whole_log(report: Report, test: TestReport, attempt: AttemptReport, where: Whereabouts) -> str:
    path = where.written.logs.get((test.key, attempt.number))
    if path is not None:
        return f"more: {one_line(str(path))}"
    if where.is_own_stack:
        return "more: run with --report DIR, which keeps the logs"
    return "more: " + command_line(["glovebox", "logs", report.run_id, test.key, *where.options])


def _show_next(show: Show, report: Report, where: Whereabouts) -> None:
    if not where.is_own_stack:
        command = command_line(["glovebox", "report", report.run_id, *where.options])
        show(Text.assemble(("show this again: ", "dim"), command))
    if where.again is not None and report.conclusion is not Conclusion.PASSED:
        show(Text.assemble(("run it again:    ", "dim"), command_line(where.again)))

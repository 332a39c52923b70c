"""A report as Markdown, for a pull request or a step's summary.

GitHub takes 1 MiB a step and 65 536 characters a comment, GitLab 1 000 000 characters a note: what
fits the least of them fits all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from glovebox.domain.outcome import Conclusion, Outcome
from glovebox.domain.plain_text import plain
from glovebox.domain.report import Report, TestReport

LIMIT_CHARACTERS = 60_000
MAX_MESSAGE_CHARACTERS = 1500
MAX_LOG_LINES = 30
SLOWEST = 5
_BAD = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.ERRORED, Outcome.CANCELLED)
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~@&:/$])")
_SIGNS = {Conclusion.PASSED: "✅", Conclusion.NO_TESTS: "⚠️"}


def to_markdown(report: Report, limit: int = LIMIT_CHARACTERS) -> str:
    """The report, what did not pass first, in at most `limit` characters (1000 or more). What
    does not fit is left out from the end, and counted."""
    parts = list(_parts(report))
    text = ""
    for index, part in enumerate(parts):
        rest = _left_out(len(parts) - index)
        if len(text) + len(part) + len(rest) > limit:
            return text + rest
        text += part
    return text


def _left_out(parts: int) -> str:
    return f"\n_{parts} more sections did not fit: see report.json._\n"


def _parts(report: Report) -> Iterator[str]:
    sign = _SIGNS.get(report.conclusion, "❌")
    summary = report.summary
    yield f"## {sign} {_inline(report.name)}: {_inline(report.conclusion.value)}\n\n"
    words = ("total", "passed", *(outcome.value for outcome in _BAD), "skipped", "flaky", "cached")
    told = [word for word in words if word == "total" or getattr(summary, word)]
    yield (
        f"| {' | '.join(word.replace('_', ' ') for word in told)} | time |\n"
        f"|{' --: |' * len(told)} --: |\n"
        f"| {' | '.join(str(getattr(summary, word)) for word in told)} "
        f"| {report.duration_seconds:.1f} s |\n\n"
    )
    if report.message:
        yield f"{_inline(report.message[:MAX_MESSAGE_CHARACTERS])}\n\n"
    yield from _bad(report.tests)
    yield from _flaky([test for test in report.tests if test.flaky])
    yield from _slowest(report.tests)


def _bad(tests: Sequence[TestReport]) -> Iterator[str]:
    rank = {outcome: place for place, outcome in enumerate(_BAD)}
    for test in sorted((t for t in tests if t.result in rank), key=lambda t: rank[t.result]):
        place = "" if test.file is None else f" ({_inline(_place(test))})"
        head = (
            f"### {test.result.value.replace('_', ' ')}: {_inline(test.test_id[:500])}{place}\n\n"
        )
        message = plain(test.message or "")[:MAX_MESSAGE_CHARACTERS]
        yield head + (_fenced(message) if message.strip() else "")
        log = test.attempts[-1].log if test.attempts else None
        if log is not None and log.text and log.text.strip():
            lines = plain(log.text).splitlines()
            tail = "\n".join(line[:500] for line in lines[-MAX_LOG_LINES:])
            what = (
                "log" if len(lines) <= MAX_LOG_LINES else f"last {MAX_LOG_LINES} lines of the log"
            )
            yield f"<details><summary>{what}</summary>\n\n{_fenced(tail)}</details>\n\n"


def _flaky(tests: Sequence[TestReport]) -> Iterator[str]:
    if tests:
        yield "### Passed, but not at first\n\n"
    for test in tests:
        earlier = ", ".join(attempt.outcome.value for attempt in test.attempts[:-1])
        yield f"- {_inline(test.test_id[:500])}: {_inline(earlier)}, then passed\n"


def _slowest(tests: Sequence[TestReport]) -> Iterator[str]:
    timed = [test for test in tests if test.duration_seconds]
    if len(timed) <= SLOWEST:
        return
    slowest = sorted(timed, key=lambda test: -(test.duration_seconds or 0))[:SLOWEST]
    rows = [f"| {_inline(t.test_id[:500])} | {t.duration_seconds:.2f} s |\n" for t in slowest]
    yield "\n### Slowest\n\n| test | time |\n|---|--:|\n" + "".join(rows)


def _place(test: TestReport) -> str:
    return f"{test.file}:{test.line}" if test.line is not None else f"{test.file}"


def _inline(text: str) -> str:
    """Text that means nothing in Markdown, names nobody, and stays on its line."""
    return _SPECIAL.sub(r"\\\1", plain(text).replace("\n", " ").replace("\t", " "))


def _fenced(text: str) -> str:
    """A block that no text can end: its fence is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.rstrip()}\n{fence}\n\n"

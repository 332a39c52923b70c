"""What is shown while a run is under way: one line per finished attempt, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from glovebox.domain.outcome import Outcome
from rich.text import Text

from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen
from glovebox_cli.views import AttemptView, RunView


class Watcher(Protocol):
    """Somebody who is told what happens in a run. Each attempt starts and ends at most once."""

    def note(self, text: str) -> None:
        """Something about the run as a whole."""

    def run_changed(self, run: RunView) -> None:
        """The run as it is now; told at every look, after the attempts that changed."""

    def attempt_changed(self, attempt: AttemptView) -> None:
        """An attempt started or ended."""

    def close(self) -> None:
        """Nothing more will come."""


LABELS: Mapping[Outcome, tuple[str, str]] = {
    Outcome.PASSED: ("PASS", "green"),
    Outcome.FAILED: ("FAIL", "bold red"),
    Outcome.ERRORED: ("ERROR", "bold magenta"),
    Outcome.TIMED_OUT: ("TIMEOUT", "bold red"),
    Outcome.SKIPPED: ("SKIP", "yellow"),
    Outcome.CANCELLED: ("CANCEL", "dim"),
}
_WITH_VERDICT = frozenset({Outcome.FAILED, Outcome.TIMED_OUT})
_NOTEWORTHY = frozenset({Outcome.FAILED, Outcome.ERRORED, Outcome.TIMED_OUT})


@dataclass
class Tally:
    """The latest word on every test that has been seen."""

    retries: Mapping[str, int] = field(default_factory=dict)
    """Further attempts that the manifest allows, by suite; empty where it is not at hand."""
    total: int | None = None
    running: dict[str, AttemptView] = field(default_factory=dict)
    """Attempts under way, by the key of their test."""
    _latest: dict[str, AttemptView] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)
    """Keys of tests that failed or timed out in some attempt."""
    _ended: Counter[Outcome] = field(default_factory=Counter)
    _flaky: int = 0

    def add(self, attempt: AttemptView) -> None:
        """Take note of an attempt's start or end. Counts are kept, not recounted: a run may
        have a hundred thousand tests."""
        known = self._latest.get(attempt.key)
        if known is None or known.number <= attempt.number:
            if known is not None:
                self._count(known, -1)
            self._latest[attempt.key] = attempt
            self._count(attempt, +1)
        if attempt.outcome in _WITH_VERDICT:
            self._lost.add(attempt.key)

    def _count(self, attempt: AttemptView, step: int) -> None:
        if attempt.outcome is None and step > 0:
            self.running[attempt.key] = attempt
        elif attempt.outcome is None:
            self.running.pop(attempt.key, None)
        elif not self.is_retried(attempt):
            self._ended[attempt.outcome] += step
            self._flaky += step * self.is_flaky(attempt)

    def is_flaky(self, attempt: AttemptView) -> bool:
        """Whether this attempt passes a test that failed before."""
        return attempt.outcome is Outcome.PASSED and attempt.key in self._lost

    def is_retried(self, attempt: AttemptView) -> bool:
        """Whether the manifest gives the test another attempt after this one."""
        left = self.retries.get(attempt.suite, 0) - attempt.number + 1
        return attempt.outcome in _WITH_VERDICT and left > 0

    def numbered(self, attempt: AttemptView) -> str:
        """`2/3`: which attempt of how many; `2` where that is not known or was exceeded."""
        allowed = self.retries.get(attempt.suite, 0) + 1
        return f"{attempt.number}/{allowed}" if attempt.number <= allowed else str(attempt.number)

    @property
    def finished(self) -> int:
        """Tests whose latest attempt has ended and that wait for no other."""
        return self._ended.total()

    def words(self) -> str:
        """`12/519 · 10 passed · 2 failed`."""
        parts = [f"{self.finished}/{self.total if self.total is not None else '?'}"]
        parts += [
            f"{self._ended[o]} {o.value.replace('_', ' ')}" for o in Outcome if self._ended[o]
        ]
        return " · ".join([*parts, f"{self._flaky} flaky"] if self._flaky else parts)


def attempt_line(attempt: AttemptView, tally: Tally) -> Text:
    """`PASS [   0.021s] suite id`; the outcome must be known."""
    label, style = LABELS[attempt.outcome or Outcome.ERRORED]
    if tally.is_flaky(attempt):
        label, style = f"FLAKY {tally.numbered(attempt)}", "bold yellow"
    elif tally.is_retried(attempt):
        label, style = f"RETRY {tally.numbered(attempt)}", "yellow"
    elif attempt.number > 1 and attempt.outcome in _WITH_VERDICT:
        label = f"{label} {tally.numbered(attempt)}"
    seconds = attempt.duration_seconds
    taken = "       —" if seconds is None else f"{seconds:7.3f}s"
    return Text.assemble((f"{label:>11}", style), f" [{taken}] ", _name(attempt.suite, attempt))


def _name(suite: str, attempt: AttemptView) -> Text:
    return Text.assemble((one_line(suite), "cyan"), " ", one_line(attempt.test_id))


class LineProgress:
    """Plain lines on stderr: for logs, pipes and whoever wants no drawing."""

    def __init__(self, screen: Screen, tally: Tally, *, quiet: bool, verbose: bool) -> None:
        self._screen = screen
        self._quiet = quiet
        self._verbose = verbose
        self.tally = tally
        self._state: str | None = None

    def note(self, text: str) -> None:
        """A note is shown even when quiet: it says what the user's own signal did."""
        self._screen.say(one_line(text))

    def run_changed(self, run: RunView) -> None:
        """Say how large the run is, once that is known; every state when verbose."""
        if run.total is not None and self.tally.total is None:
            self.tally.total = run.total
            if not self._quiet:
                plural = "" if run.total == 1 else "s"
                width = f", up to {run.parallelism} at once" if run.parallelism else ""
                self._screen.say(f"{run.total} test{plural}{width}", style="dim")
        if self._verbose and run.state.value != self._state:
            self._screen.say(f"{run.run_id}: {run.state.value}", style="dim")
        self._state = run.state.value

    def attempt_changed(self, attempt: AttemptView) -> None:
        """Write a line for the end of an attempt; for its start when verbose."""
        self.tally.add(attempt)
        if attempt.is_finished:
            if not self._quiet or attempt.outcome in _NOTEWORTHY:
                self._screen.say(attempt_line(attempt, self.tally))
        elif self._verbose:
            line = Text.assemble(("      START", "dim"), " " * 12, _name(attempt.suite, attempt))
            self._screen.say(line)

    def close(self) -> None:
        """Nothing is left to draw."""

"""The live view on a terminal: finished tests scroll by, running ones and counts stay below."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from glovebox_cli.progress import LineProgress, Tally
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen
from glovebox_cli.views import AttemptView, RunView

MOST_RUNNING_SHOWN = 8
_REFRESHES_PER_SECOND = 8


class LiveProgress:
    """Lines as `LineProgress` writes them, over a footer that is drawn anew."""

    def __init__(self, screen: Screen, tally: Tally, *, quiet: bool, verbose: bool) -> None:
        self._lines = LineProgress(screen, tally, quiet=quiet, verbose=verbose)
        self._tally = tally
        self._began = time.monotonic()
        self._since: dict[tuple[str, int], float] = {}
        self._phase = "accepted"
        self._running: tuple[tuple[AttemptView, float], ...] = ()
        self._words = ""
        self._live = Live(
            console=screen.err,
            get_renderable=self._footer,
            transient=True,
            refresh_per_second=_REFRESHES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def note(self, text: str) -> None:
        """Write it over the footer."""
        self._lines.note(text)

    def run_changed(self, run: RunView) -> None:
        """Make the footer anew: a thread of rich's draws it, so it gets what cannot change."""
        self._lines.run_changed(run)
        self._phase = run.state.value
        now = time.monotonic()
        running = (
            (a, self._since.get((a.key, a.number), now)) for a in self._tally.running.values()
        )
        self._running = tuple(sorted(running, key=lambda pair: pair[1]))
        self._words = self._tally.words()

    def attempt_changed(self, attempt: AttemptView) -> None:
        """A start goes into the footer, an end above it."""
        if attempt.is_finished:
            self._since.pop((attempt.key, attempt.number), None)
        else:
            self._since[attempt.key, attempt.number] = time.monotonic()
        self._lines.attempt_changed(attempt)

    def close(self) -> None:
        """Take the footer away."""
        self._live.stop()

    def _footer(self) -> RenderableType:
        now = time.monotonic()
        running = self._running
        rows: list[RenderableType] = [
            self._running_row(attempt, now - since)
            for attempt, since in running[:MOST_RUNNING_SHOWN]
        ]
        if len(running) > MOST_RUNNING_SHOWN:
            rows.append(Text(f"{'':>24}and {len(running) - MOST_RUNNING_SHOWN} more", "dim"))
        return Group(*rows, self._counts_row(now, len(running)))

    def _running_row(self, attempt: AttemptView, age: float) -> Text:
        name = f"{one_line(attempt.suite)} {one_line(attempt.test_id)}"
        row = Text.assemble(("    RUNNING", "blue"), f" [{age:7.1f}s] ", name)
        row.no_wrap = True
        row.overflow = "ellipsis"
        return row

    def _counts_row(self, now: float, running: int) -> RenderableType:
        total = self._tally.total
        elapsed = f"{now - self._began:.0f}s"
        words = f"{self._words} · {running} running · {elapsed}"
        if not total:
            return Text(f"    {self._phase} · {elapsed}" if total is None else words, "bold")
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=total, completed=self._tally.finished, width=24)
        row.add_row(bar, Text(words, "bold", no_wrap=True, overflow="ellipsis"))
        return row

"""The two streams: what was asked for goes to stdout, everything said about it to stderr."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import TextIO

from rich.console import Console
from rich.text import Text

from glovebox_cli.safe_text import one_line


class Color(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class _TolerantConsole(Console):
    """A reader that has gone (`glovebox … | head`) is no failure of the run: fall silent."""

    def on_broken_pipe(self) -> None:
        """Write nothing more, instead of rich's own exit with 1."""
        self.quiet = True
        _discard(self.file)


class Screen:
    """Where a command writes. Every text is taken literally: no markup, no highlighting."""

    def __init__(self, color: Color = Color.AUTO, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self.out = _console(color, stderr=False)
        self.err = _console(color, stderr=True)

    def say(self, text: str | Text, *, style: str | None = None) -> None:
        """A line on stderr, for people."""
        _line(self.err, text, style)

    def chat(self, text: str) -> None:
        """A line on stderr that nobody misses: dimmed, and left out when quiet."""
        if not self._quiet:
            _line(self.err, text, "dim")

    def show(self, text: str | Text, *, style: str | None = None) -> None:
        """A line on stdout, for people."""
        _line(self.out, text, style)

    def warn(self, text: str) -> None:
        """A line on stderr that begins with `warning:`."""
        _line(self.err, Text.assemble(("warning: ", "yellow"), one_line(text)), None)

    def emit(self, content: bytes) -> None:
        """Bytes on stdout, exactly as they are: the machine's share."""
        try:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            _discard(sys.stdout)

    @property
    def rewrites(self) -> bool:
        """Whether stderr is a terminal on which lines may be drawn anew.

        FORCE_COLOR makes rich believe in a terminal; a CI log is still none, so ask the system.
        """
        return self.err.is_interactive and sys.stderr.isatty()


def prepare_streams() -> None:
    """Let any name be written on any stream: what the encoding cannot hold is escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _console(color: Color, *, stderr: bool) -> Console:
    # None leaves it to rich, which heeds the terminal and the environment.
    forced = True if color is Color.ALWAYS else None
    return _TolerantConsole(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        force_terminal=forced,
        no_color=None if color is Color.AUTO else color is Color.NEVER,
        color_system=None if color is Color.NEVER else "auto",
    )


def _line(console: Console, text: str | Text, style: str | None) -> None:
    # Soft wrap: a terminal breaks long lines itself, a file or a pipe keeps them whole.
    console.print(text, style=style, soft_wrap=True)


def _discard(stream: TextIO | object) -> None:
    descriptor = getattr(stream, "fileno", lambda: None)()
    if descriptor is not None:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, descriptor)
        os.close(devnull)

"""What is wrong with a text that a user wrote, where, and what would be right.

Everything in here may quote hostile input, so everything in here is safe to print: no control
character, no line break and no endless value leaves through `quoted`, `path_text` or `str`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Location: TypeAlias = tuple[str | int, ...]
"""Where a value stands in its document: keys and zero-based list positions from the root."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_LONGEST_QUOTE = 80  # characters: a line of a terminal, not a page


@dataclass(frozen=True)
class Problem:
    """One fault of a manifest, ready to show."""

    message: str
    """Plain words, without position or path."""
    path: str
    """Where in the document, as `suites[0].timeout`; empty for the document as a whole."""
    file: str
    """The document's name as its sender gave it."""
    line: int | None = None
    """Counted from 1; None where the fault has no place, such as a document that is too large."""
    column: int | None = None
    """Counted from 1, in characters."""
    suggestion: str | None = None
    """What was probably meant."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        words = f"{self.path}: {self.message}" if self.path else self.message
        hint = f" (did you mean {quoted(self.suggestion)}?)" if self.suggestion else ""
        return printable(f"{place}: {words}{hint}")


class Refusal(ValueError):
    """A value is refused. Validators raise it; whoever knows the place makes it a `Problem`."""

    def __init__(self, words: str, suggestion: str | None = None) -> None:
        self.words = words
        self.suggestion = suggestion
        super().__init__(words)


def quoted(text: str) -> str:
    """Return `text` in single quotes, cut to a readable length and without control characters."""
    cut = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
    return f"'{printable(cut)}'"


def printable(text: str) -> str:
    """Return `text` with every character that is not printable written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def path_text(location: Sequence[str | int]) -> str:
    """Write a location as `suites[0].env.CI`; keys that are not plain words go in brackets."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{quoted(step)}]"
    return text

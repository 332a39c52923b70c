"""Text from outside, made harmless before a terminal sees it.

Test ids, messages and logs are written by the code under test. Raw, they could move the cursor,
repaint a failure as a pass, set the clipboard, or reorder what is read with bidi controls.
"""

from __future__ import annotations

import re

LONGEST_LINE = 1000  # characters of an id or of one line of a log
_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC, DCS and kin, up to their terminator
    r"|\x1b[ -/]*[0-~]"  # two-character escapes
)
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


def one_line(text: str, limit: int = LONGEST_LINE) -> str:
    """`text` on one line: whatever is not printable is written as an escape, never dropped.

    Used for names, where two different ids must not look alike.
    """
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() else _escape(char) for char in cut)


def lines_of(text: str) -> list[str]:
    """The lines of a log or message: colours are dropped, other controls written as escapes."""
    plain = _ANSI.sub("", text)
    lines = _LINE_ENDS.split(plain)
    if lines and not lines[-1]:
        lines.pop()
    return [one_line(line.expandtabs(8)) for line in lines]


def bounded_lines(text: str, *, head: int, tail: int) -> list[str]:
    """At most `head` first and `tail` last lines, with a word about what is left out between."""
    lines = lines_of(text)
    left_out = len(lines) - head - tail
    if left_out <= 1:
        return lines
    return [*lines[:head], f"… {left_out} lines left out …", *lines[-tail:]]


def _escape(char: str) -> str:
    return repr(char)[1:-1]

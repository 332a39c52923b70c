"""What tests print and say, made fit to be shown: without what drives a terminal."""

from __future__ import annotations

import re

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_UNSHOWN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u061b\u061d-\u200d\u2010-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe"
    "\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""Controls, lone surrogates, line separators, and the marks that turn the direction of text: they
could make one name look like another."""


def plain(text: str) -> str:
    """The text, with U+FFFD for what is not to be shown. Line ends are \\n."""
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNSHOWN.sub("\ufffd", text)

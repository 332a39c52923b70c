"""Ids made of a file and a path of titles: `cart.test.js > basket > adds an item`.

Titles are anybody's text, so an id must neither be ambiguous nor break a table: in its parts a
backslash is doubled, a `>` that stands alone is `\\>`, and what is not printable is `\\u{…}`.
Tests of one file that share all their titles are told apart by their order: the second one's id
ends in ` \\#2`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

SEPARATOR = " > "
_ALONE = re.compile(r"(?:(?<=^)|(?<= ))>(?=$| )")
_ESCAPED = re.compile(r"\\(?:u\{([0-9a-f]{1,6})\}|(.))", re.DOTALL)
_COPY = re.compile(r" \\#([1-9][0-9]{0,8})$")


def titled_id(file: str, titles: Sequence[str], copy: int = 1) -> str:
    """The id of a test; of a whole file where there are no titles."""
    joined = SEPARATOR.join(_escape(part) for part in (file, *titles))
    return joined if copy == 1 else f"{joined} \\#{copy}"


def parse_id(text: str) -> tuple[str, tuple[str, ...]]:
    """The file and the titles of an id: what to run. Which of several copies is left out."""
    file, *titles = _COPY.sub("", text).split(SEPARATOR)
    return _unescape(file), tuple(_unescape(title) for title in titles)


def copy_of(text: str) -> int:
    """Which of the tests that share its titles an id names, from 1."""
    found = _COPY.search(text)
    return int(found[1]) if found else 1


class Copies:
    """Numbers the tests that share file and titles, in their order."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, ...]] = Counter()

    def next_id(self, file: str, titles: Sequence[str]) -> str:
        """The id of the next test of this name."""
        name = (file, *titles)
        self._seen[name] += 1
        return titled_id(file, titles, self._seen[name])


def _escape(text: str) -> str:
    text = _ALONE.sub(r"\\>", text.replace("\\", "\\\\"))
    return "".join(_spelt(text))


def _spelt(text: str) -> Iterator[str]:
    for character in text:
        yield character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def _unescape(text: str) -> str:
    def meant(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[2]
        code = int(found[1], 16)
        return chr(code) if code <= 0x10FFFF else found[0]

    return _ESCAPED.sub(meant, text)

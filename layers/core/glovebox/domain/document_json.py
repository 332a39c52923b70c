"""Strict JSON with places: no duplicate keys, no NaN, no comments, nothing after the end."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import NoReturn

from glovebox.domain.document import (
    ListNode,
    MapNode,
    Mark,
    ScalarNode,
    TreeBuilder,
    whole_number,
)
from glovebox.domain.problem import quoted

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*)*"')
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[-+]?[A-Za-z_][A-Za-z0-9_]*")
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def read_json(text: str, builder: TreeBuilder) -> None:
    """Feed `text` to `builder`. Raises ManifestError where it is not JSON."""
    _JsonReader(text, builder).read()


class _JsonReader:
    """Recursive descent; the builder's depth cap bounds the recursion."""

    def __init__(self, text: str, builder: TreeBuilder) -> None:
        self.text = text
        self.builder = builder
        self.position = 0
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def read(self) -> None:
        self._value()
        if self._next():
            self._refuse("there is more text after the end of the manifest")

    def _value(self) -> None:
        char = self._next()
        if char == "{":
            self._map()
        elif char == "[":
            self._list()
        elif char == '"':
            self._string()
        elif match := _NUMBER.match(self.text, self.position):
            self._number(match)
        else:
            self._literal()

    def _map(self) -> None:
        self.builder.start(MapNode(self._mark()))
        self.position += 1
        if self._next() == "}":
            self.position += 1
            self.builder.end()
            return
        while True:
            if self._next() != '"':
                self._refuse("a key in double quotes must stand here")
            self._string()
            if self._next() != ":":
                self._refuse("a ':' must follow the key")
            self.position += 1
            self._value()
            if self._ends_with("}"):
                return

    def _list(self) -> None:
        self.builder.start(ListNode(self._mark()))
        self.position += 1
        if self._next() == "]":
            self.position += 1
            self.builder.end()
            return
        while True:
            self._value()
            if self._ends_with("]"):
                return

    def _ends_with(self, closing: str) -> bool:
        char = self._next()
        if char not in (",", closing):
            self._refuse(f"a ',' or '{closing}' must stand here")
        self.position += 1
        if char == closing:
            self.builder.end()
        return char == closing

    def _string(self) -> None:
        match = _STRING.match(self.text, self.position)
        if match is None:
            self._refuse("this text has no end, or a line break or control character in it")
        try:
            value = json.loads(match[0])
        except json.JSONDecodeError:
            self._refuse("this text has an escape that JSON does not know")
        self.builder.scalar(ScalarNode(self._mark(), value, value))
        self.position = match.end()

    def _number(self, match: re.Match[str]) -> None:
        value = float(match[0]) if match[2] or match[3] else whole_number(match[1])
        self.builder.number(self._mark(), match[0], value)
        self.position = match.end()

    def _literal(self) -> None:
        match = _WORD.match(self.text, self.position)
        if match is None:
            self._refuse("a value must stand here")
        if match[0] not in _LITERALS:
            self._refuse(f"{quoted(match[0])} is not a JSON value; text needs double quotes")
        self.builder.scalar(ScalarNode(self._mark(), _LITERALS[match[0]], match[0]))
        self.position = match.end()

    def _next(self) -> str:
        """Skip white space and return the next character, or nothing at the end."""
        if match := _SPACE.match(self.text, self.position):
            self.position = match.end()
        return self.text[self.position : self.position + 1]

    def _mark(self) -> Mark:
        line = bisect_right(self.line_starts, self.position)
        return Mark(line, self.position - self.line_starts[line - 1] + 1)

    def _refuse(self, words: str) -> NoReturn:
        self.builder.refuse(self._mark(), f"not valid JSON: {words}")

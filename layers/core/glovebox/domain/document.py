"""A document as a tree in which every value knows its place. Readers build it event by event.

Nothing is constructed but text, numbers, booleans, lists and mappings. Caps hold while the
tree grows, so that a hostile document is refused before it is held.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, TypeAlias

from glovebox.domain.errors import ManifestError
from glovebox.domain.problem import Location, Problem, path_text, quoted

MAX_DEPTH = 20
MAX_NODES = 100_000
MAX_FAULTS = 100
_LONGEST_NUMBER = 30  # digits: far beyond any limit, far below what int() needs long for
_SURROGATE = re.compile("[\ud800-\udfff]")


class Mark(NamedTuple):
    """A place in the text, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One text, number, boolean or null, with the characters that it was written as."""

    mark: Mark
    value: str | int | float | bool | None
    text: str


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list."""

    mark: Mark
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping; keys are always text."""

    mark: Mark
    entries: dict[str, Node] = field(default_factory=dict)
    key_marks: dict[str, Mark] = field(default_factory=dict)


Node: TypeAlias = ScalarNode | ListNode | MapNode


@dataclass
class _Open:
    """A container that has not ended."""

    node: ListNode | MapNode
    key: str = ""
    """A mapping's latest key."""
    value_due: bool = False
    """Whether that key waits for its value."""
    dropped: bool = False
    """Whether that value is read but not kept."""


class TreeBuilder:
    """Builds one tree and collects what is wrong with it.

    A fault that leaves the rest readable is noted in `problems`, and where it replaced a value,
    its location in `replaced`; any other raises ManifestError with all faults so far.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.replaced: set[Location] = set()
        self._open: list[_Open] = []
        self._count = 0

    def fault(self, mark: Mark, message: str, suggestion: str | None = None) -> None:
        """Note a fault at the value that comes next."""
        self.problems.append(
            Problem(message, path_text(self._here()), self.file, *mark, suggestion)
        )
        if len(self.problems) >= MAX_FAULTS:
            self.refuse(mark, "so many problems that reading stops here")

    def refuse(self, mark: Mark, message: str) -> NoReturn:
        """Give up on the whole document."""
        problem = Problem(message, path_text(self._here()), self.file, *mark)
        raise ManifestError([*self.problems, problem])

    def start(self, node: ListNode | MapNode) -> None:
        """Begin a list or a mapping."""
        if self.wants_key():
            self.refuse(node.mark, "a key must be plain text, not a list or a mapping")
        if len(self._open) >= MAX_DEPTH:
            self.refuse(node.mark, f"nested more than {MAX_DEPTH} levels deep")
        self._add(node)
        self._open.append(_Open(node))

    def end(self) -> None:
        """End the innermost list or mapping."""
        self._open.pop()

    def scalar(self, node: ScalarNode) -> None:
        """Add a value, or a key where one is due."""
        if self.wants_key():
            self.key(node)
            return
        if node.value is None and not self._open:
            return  # an empty document: no root
        if node.value is None:
            # Where nothing is written, the reader's mark is that of whatever comes next.
            mark = node.mark if node.text else self._key_mark(node.mark)
            self.replace(mark, "has no value; write one, or remove the key")
        elif isinstance(node.value, str) and (words := _unusable(node.value)):
            self.replace(node.mark, words)
        else:
            self._add(node)

    def number(self, mark: Mark, text: str, value: float | None) -> None:
        """Add a number; None is one that `whole_number` refused."""
        if value is not None and math.isfinite(value):
            self.scalar(ScalarNode(mark, value, text))
        elif self.wants_key():
            self.key(ScalarNode(mark, text, text))
        else:
            self.replace(mark, f"{quoted(text)} is not a number that means anything here")

    def replace(self, mark: Mark, words: str) -> None:
        """Note a fault, and put nothing in place of the value that stands there."""
        self.fault(mark, words)
        self.replaced.add(self._here())
        self._add(ScalarNode(mark, None, ""))

    def wants_key(self) -> bool:
        """Return whether the next scalar is a key."""
        if not self._open:
            return False
        top = self._open[-1]
        return isinstance(top.node, MapNode) and not top.value_due

    def key(self, node: ScalarNode, fault: str | None = None) -> None:
        """Add a key. One with a fault, and its value, are read but not kept."""
        self._cap(node.mark)
        top = self._open[-1]
        if not isinstance(top.node, MapNode):
            return
        top.key, top.value_due, top.dropped = node.text, True, True
        if words := fault or _unusable(node.text):
            self.fault(node.mark, words)
        elif node.text in top.node.key_marks:
            first = top.node.key_marks[node.text]
            place = f"line {first.line}, column {first.column}"
            self.fault(node.mark, f"duplicate key {quoted(node.text)}, given first at {place}")
        else:
            top.node.key_marks[node.text] = node.mark
            top.dropped = False

    def _add(self, node: Node) -> None:
        self._cap(node.mark)
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if isinstance(top.node, ListNode):
            top.node.items.append(node)
            return
        top.value_due = False
        if not top.dropped:
            top.node.entries[top.key] = node

    def _key_mark(self, otherwise: Mark) -> Mark:
        top = self._open[-1]
        return top.node.key_marks[top.key] if isinstance(top.node, MapNode) else otherwise

    def _cap(self, mark: Mark) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            self.refuse(mark, f"more than {MAX_NODES} keys and values")

    def _here(self) -> Location:
        steps: list[str | int] = []
        for depth, level in enumerate(self._open):
            last = depth == len(self._open) - 1
            if isinstance(level.node, ListNode):
                steps.append(len(level.node.items) - (0 if last else 1))
            elif level.value_due or not last:
                steps.append(level.key)
        return tuple(steps)


def plain(node: Node) -> object:
    """Return the tree as lists, dicts and scalars."""
    if isinstance(node, MapNode):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value


def whole_number(digits: str, base: int = 10) -> int | None:
    """Read an integer; None where it is longer than any that a manifest could mean."""
    return int(digits, base) if len(digits) <= _LONGEST_NUMBER else None


def _unusable(text: str) -> str | None:
    if "\x00" in text:
        return "contains a NUL character"
    if _SURROGATE.search(text):
        return "contains half of a character (a lone surrogate)"
    return None

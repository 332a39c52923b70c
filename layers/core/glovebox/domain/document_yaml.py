"""YAML 1.2 with places, as events: nothing is constructed, expanded or merged.

Anchors, aliases, tags, merge keys and directives are refused: what a manifest says is what it
shows, and a few bytes cannot stand for gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from glovebox.domain.document import (
    ListNode,
    MapNode,
    Mark,
    ScalarNode,
    TreeBuilder,
    whole_number,
)
from glovebox.domain.problem import quoted

_NOT_YAML = re.compile(
    "[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
# The core schema of YAML 1.2, section 10.3.2: `no`, `on`, `1:30` and `1_000` are text.
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {
    word: word.lower() == "true" for word in ["true", "True", "TRUE", "false", "False", "FALSE"]
}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_yaml(text: str, builder: TreeBuilder) -> None:
    """Feed `text` to `builder`. Raises ManifestError where it is not YAML of the plain kind."""
    if match := _NOT_YAML.search(text):
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - text.rfind("\n", 0, match.start())
        words = f"the character U+{ord(match[0]):04X} is not allowed in YAML; write it as an escape"
        builder.refuse(Mark(line, column), words)
    documents = 0
    for event in _events(text, builder):
        if isinstance(event, DocumentStartEvent):
            documents += 1
            _check_document(event, documents, builder)
        else:
            _take(event, builder)


def _events(text: str, builder: TreeBuilder) -> Iterator[Event]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(place.line + 1, place.column + 1) if place else Mark(1, 1)
        builder.refuse(mark, f"not valid YAML: {_in_plain_words(error)}")
    except (YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError):
        # ruamel.yaml trips over some directives and escapes (`\UFFFFFFFF`) with Python's errors.
        builder.refuse(Mark(1, 1), "not valid YAML: a directive or an escape cannot be read")


def _check_document(event: DocumentStartEvent, count: int, builder: TreeBuilder) -> None:
    mark = _mark(event)
    if count > 1:
        builder.refuse(mark, "a manifest is one document; a second one begins here")
    if event.tags or (event.version is not None and tuple(event.version) != (1, 2)):
        builder.refuse(mark, "directives (%YAML, %TAG) are not accepted; manifests are YAML 1.2")


def _take(event: Event, builder: TreeBuilder) -> None:
    mark = _mark(event)
    if isinstance(event, MappingEndEvent | SequenceEndEvent):
        builder.end()
    elif isinstance(event, AliasEvent):
        builder.replace(mark, "aliases (*) are not accepted; repeat the value")
    elif isinstance(event, MappingStartEvent | SequenceStartEvent | ScalarEvent):
        _check_properties(event, mark, builder)
        if isinstance(event, MappingStartEvent):
            builder.start(MapNode(mark))
        elif isinstance(event, SequenceStartEvent):
            builder.start(ListNode(mark))
        else:
            _scalar(event, mark, builder)


def _check_properties(
    event: MappingStartEvent | SequenceStartEvent | ScalarEvent, mark: Mark, builder: TreeBuilder
) -> None:
    if event.anchor is not None:
        builder.fault(mark, "anchors (&) are not accepted; repeat the value where it is used")
    if event.tag is not None:
        tag = quoted(str(event.tag).replace("tag:yaml.org,2002:", "!!"))
        builder.fault(mark, f"tags are not accepted; remove {tag}")


def _scalar(event: ScalarEvent, mark: Mark, builder: TreeBuilder) -> None:
    text = event.value
    if event.style is not None or event.tag is not None:
        builder.scalar(ScalarNode(mark, text, text))
    elif text == "<<" and builder.wants_key():
        words = "merge keys (<<) are not accepted; repeat the values"
        builder.key(ScalarNode(mark, text, text), words)
    elif text in _NULLS:
        builder.scalar(ScalarNode(mark, None, text))
    elif text in _BOOLS:
        builder.scalar(ScalarNode(mark, _BOOLS[text], text))
    elif _INT.fullmatch(text):
        builder.number(mark, text, whole_number(text))
    elif _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        builder.number(mark, text, whole_number(text, 0))
    elif _FLOAT.fullmatch(text):
        builder.number(mark, text, float(text))
    elif _NOT_FINITE.fullmatch(text):
        builder.number(mark, text, None)
    else:
        builder.scalar(ScalarNode(mark, text, text))


def _mark(event: Event) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _in_plain_words(error: MarkedYAMLError) -> str:
    words = str(error.problem or error.context or "it cannot be read")
    if "'\\t'" in words:
        return "a tab stands here; YAML is indented with spaces"
    if "mapping values are not allowed" in words:
        return "a second ':' stands here; put a text that contains ': ' in quotes"
    return quoted(words)[1:-1]

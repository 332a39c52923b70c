"""Reads a JUnit XML file from a sandbox. Untrusted: capped, and without any DTD."""

from __future__ import annotations

import io
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

MAX_BYTES = 5 * 1024 * 1024
MAX_CASES = 100_000
MAX_WORDS = 1000
"""Characters of the first failure that are passed on."""
MAX_DEPTH = 50
"""Real files nest five levels at most (PHPUnit); the parser's tree is recursive."""


class JunitRefused(Exception):
    """The file is no JUnit report that can be trusted to be whole."""


@dataclass(frozen=True)
class JunitFile:
    """What a JUnit file says, counted from its elements; its own counts are not believed."""

    cases: int
    skipped: int
    not_passed: int
    """Cases with a failure or an error."""
    first_failure: str


def read_junit(content: bytes) -> JunitFile:
    """Count the cases of a JUnit file. Raises JunitRefused, never another error."""
    if len(content) > MAX_BYTES:
        raise JunitRefused(f"longer than {MAX_BYTES} bytes")
    try:
        return _count(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise JunitRefused(f"not well-formed XML ({type(error).__name__})") from error


def _count(content: bytes) -> JunitFile:
    cases = skipped = not_passed = depth = 0
    first = ""
    roots: set[str] = set()
    for event, element in iterparse(io.BytesIO(content), ("start", "end"), forbid_dtd=True):
        if event == "start":
            if depth == 0:
                roots.add(element.tag)
            depth += 1
            if depth > MAX_DEPTH:
                raise JunitRefused(f"nested deeper than {MAX_DEPTH} levels")
            continue
        depth -= 1
        if element.tag != "testcase":
            continue
        cases += 1
        if cases > MAX_CASES:
            raise JunitRefused(f"more than {MAX_CASES} cases")
        bad = element.find("failure") if element.find("error") is None else element.find("error")
        if bad is not None:
            not_passed += 1
            first = first or _words(element, bad)
        elif element.find("skipped") is not None:
            skipped += 1
        element.clear()
    if not roots <= {"testsuites", "testsuite"}:
        raise JunitRefused("its root is neither testsuites nor testsuite")
    return JunitFile(cases, skipped, not_passed, first)


def _words(case: Element, bad: Element) -> str:
    name = ".".join(part for part in (case.get("classname"), case.get("name")) if part)
    text = bad.get("message") or (bad.text or "").strip()
    words = f"{name}: {text}"
    return words if len(words) <= MAX_WORDS else words[:MAX_WORDS] + "…"

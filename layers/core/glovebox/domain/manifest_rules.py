"""Rules of the manifest that look at more than one value at a time.

They read plain mappings, whose values may be missing or of a wrong kind: the models hand in
what is checked already, the text loader what a user wrote, so that a wrong `timeout` does not
hide a missing `command`. A rule that cannot be judged is silent; the value's own check speaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails

from glovebox.domain.duration import format_duration, parse_duration
from glovebox.domain.problem import Location, Refusal, quoted

PLACEHOLDER = "{test_id}"
MAX_INLINE_BYTES = 1024 * 1024
DEFAULT_TIMEOUTS = {"suite": 60, "run": 1800}  # seconds; a test holds them to the models'

SELF_RUNNING = (
    "pytest",
    "unittest",
    "jest",
    "vitest",
    "mocha",
    "node:test",
    "playwright",
)
"""The frameworks that find their tests; a test holds them to the models'."""

_SOURCES = ("path", "s3", "git", "inline")


class Breach(NamedTuple):
    """A rule that does not hold, seen from the mapping that was looked at."""

    location: Location
    words: str
    at_key: bool = False
    """Whether the key is at fault, not its value."""

    def below(self, *steps: str | int) -> Breach:
        """Return the same breach, seen from further up."""
        return self._replace(location=(*steps, *self.location))


class BrokenRule(Refusal):
    """A rule of several values does not hold; what the models raise for a breach."""


def raise_breaches(breaches: Iterable[Breach], model: BaseModel) -> None:
    """Raise pydantic's own error with every breach in it, for a validator to raise."""
    errors = [
        InitErrorDetails(
            type="value_error",
            loc=breach.location,
            input=None,
            ctx={"error": BrokenRule(breach.words)},
        )
        for breach in breaches
    ]
    if errors:
        raise ValidationError.from_exception_data(type(model).__name__, errors)


def all_breaches(document: Mapping[str, object]) -> Iterator[Breach]:
    """Yield every breach in a whole manifest as its user wrote it."""
    yield from manifest_breaches(document)
    if isinstance(source := document.get("source"), Mapping):
        yield from (breach.below("source") for breach in source_breaches(source))
        if isinstance(inline := source.get("inline"), Mapping):
            found = inline_breaches(inline)
            yield from (breach.below("source", "inline") for breach in found)
    for index, suite in enumerate(_listed(document.get("suites"))):
        if isinstance(suite, Mapping):
            yield from (breach.below("suites", index) for breach in suite_breaches(suite))


def source_breaches(source: Mapping[str, object]) -> Iterator[Breach]:
    """Yield the breach of: exactly one form of source."""
    given = [key for key in _SOURCES if source.get(key) is not None]
    misspelt = any(key not in _SOURCES for key in source)  # told as an unknown key already
    if not given and not misspelt:
        yield Breach((), "needs exactly one of path, s3, git, inline")
    for key in given[1:]:
        yield Breach((key,), f"only one source is possible, and {given[0]} is given already")


def inline_breaches(inline: Mapping[str, object]) -> Iterator[Breach]:
    """Yield the breaches of: files fit together, in size and as a tree."""
    files = inline.get("files")
    if not isinstance(files, Mapping):
        return
    size = sum(len(text.encode(errors="replace")) for text in files.values() if _is_text(text))
    if size > MAX_INLINE_BYTES:
        words = f"the files are {size} bytes together; the limit is {MAX_INLINE_BYTES}"
        yield Breach(("files",), words)
    for path in files:
        parts = path.split("/")
        # A hundred levels suffice to look at: every path is bounded, not every user is kind.
        for depth in range(1, min(len(parts), 100)):
            folder = "/".join(parts[:depth])
            if folder in files:
                words = f"{quoted(folder)} is a file of its own, so it cannot be a folder as well"
                yield Breach(("files", path), words, at_key=True)


def suite_breaches(suite: Mapping[str, object]) -> Iterator[Breach]:
    """Yield the breaches of: what goes with which framework, and no doubles."""
    framework = suite.get("framework")
    if framework == "command":
        yield from _command_breaches(suite)
    elif framework in SELF_RUNNING:
        for key in ("command", "junit"):
            if suite.get(key) is not None:
                words = f"only a suite with framework: command has {key}; {framework} runs itself"
                yield Breach((key,), words)
        if suite.get("paths") and suite.get("tests"):
            words = "tests lists exact ids, so there is nothing to look for in paths; give one"
            yield Breach(("tests",), words)
    yield from _doubles("tests", suite.get("tests"))
    yield from _doubles("tags", suite.get("tags"))


def manifest_breaches(manifest: Mapping[str, object]) -> Iterator[Breach]:
    """Yield the breaches of: names are unique, limits fit into limits."""
    suites = _listed(manifest.get("suites"))
    secrets = set(filter(_is_text, _listed(manifest.get("secrets"))))
    yield from _doubles("secrets", manifest.get("secrets"))
    yield from _shadowed(manifest, secrets)
    names: dict[object, int] = {}
    for index, suite in enumerate(suites):
        if not isinstance(suite, Mapping):
            continue
        name = suite.get("name")
        if _is_text(name) and names.setdefault(name, index) != index:
            words = f"{quoted(str(name))} is the name of suites[{names[name]}] already"
            yield Breach(("suites", index, "name"), words)
        yield from (breach.below("suites", index) for breach in _shadowed(suite, secrets))
        yield from (
            breach.below("suites", index) for breach in _too_long(suite, manifest.get("timeout"))
        )


def _command_breaches(suite: Mapping[str, object]) -> Iterator[Breach]:
    if suite.get("paths"):
        yield Breach(("paths",), "a command finds its tests itself; paths is for the others")
    if suite.get("command") is None:
        yield Breach(("command",), "is missing: a suite with framework: command needs one")
    command = _listed(suite.get("command"))
    if command and command[0] == "":
        yield Breach(("command", 0), "must name the program to run")
    for index, element in enumerate(command):
        if not isinstance(element, str) or PLACEHOLDER not in element:
            continue
        if element != PLACEHOLDER:
            words = f"{PLACEHOLDER} must be an element of its own, so that no shell reads an id"
            yield Breach(("command", index), words)
        elif not suite.get("tests"):
            words = f"{PLACEHOLDER} needs tests: there is no id to put in its place"
            yield Breach(("command", index), words)
    if suite.get("tests") and not suite.get("junit") and command and PLACEHOLDER not in command:
        words = f"no element is {PLACEHOLDER} and there is no junit, so nothing tells tests apart"
        yield Breach(("command",), words)


def _doubles(key: str, values: object) -> Iterator[Breach]:
    seen: dict[str, int] = {}
    for index, value in enumerate(_listed(values)):
        if isinstance(value, str) and seen.setdefault(value, index) != index:
            yield Breach((key, index), f"{quoted(value)} is {key}[{seen[value]}] already")


def _shadowed(part: Mapping[str, object], secrets: set[object]) -> Iterator[Breach]:
    env = part.get("env")
    if isinstance(env, Mapping):
        for name in env:
            if name in secrets:
                words = f"{quoted(name)} is one of secrets already; drop one"
                yield Breach(("env", name), words, at_key=True)


def _too_long(suite: Mapping[str, object], run_timeout: object) -> Iterator[Breach]:
    limit = _seconds(run_timeout, DEFAULT_TIMEOUTS["run"])
    timeout = _seconds(suite.get("timeout"), DEFAULT_TIMEOUTS["suite"])
    if limit is not None and timeout is not None and timeout > limit:
        given = "" if suite.get("timeout") is not None else ", by default,"
        words = (
            f"{format_duration(timeout)}{given} is longer than the whole run's timeout, "
            f"{format_duration(limit)}"
        )
        yield Breach(("timeout",), words)


def _seconds(value: object, default: int) -> int | None:
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except Refusal:
        return None


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _is_text(value: object) -> bool:
    return isinstance(value, str)

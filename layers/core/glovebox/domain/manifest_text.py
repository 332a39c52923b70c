"""From a manifest's text to a checked `Manifest`, or to every problem with its place.

No input or output: the caller reads the bytes. The text is untrusted; its size, encoding,
depth and count are checked before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from glovebox.domain.document import ListNode, MapNode, Mark, Node, TreeBuilder, plain
from glovebox.domain.document_json import read_json
from glovebox.domain.document_yaml import read_yaml
from glovebox.domain.errors import ManifestError
from glovebox.domain.manifest import Manifest
from glovebox.domain.manifest_rules import Breach, BrokenRule, all_breaches
from glovebox.domain.manifest_words import Finding, finding
from glovebox.domain.problem import Location, Problem, path_text

MAX_MANIFEST_BYTES = 1024 * 1024
MAX_PROBLEMS = 100
"""As many as anybody reads; the last one then says how many more there are."""

_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")  # UTF-16 and, with zeros around, UTF-32


def load_manifest(text: bytes | str, *, file: str) -> Manifest:
    """Read a manifest in YAML 1.2 or JSON.

    `file` is the name that problems carry; `.json` at its end demands JSON. Raises
    ManifestError with every problem found, in the order of the text.
    """
    builder = _read(_decoded(text, file), file)
    root = builder.root
    if root is None:
        raise ManifestError([Problem("the manifest is empty", "", file, 1, 1)])
    document = plain(root)
    found = _placed(_findings(document), root, builder.replaced, file)
    problems = [*builder.problems, *found]
    if not problems:
        return Manifest.model_validate(document)
    raise ManifestError(_in_order(problems, file))


def _decoded(text: bytes | str, file: str) -> str:
    """Return the text without its byte order mark; refuse what is too large or not UTF-8."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(raw) > MAX_MANIFEST_BYTES:
        words = f"the manifest is {len(raw)} bytes; the limit is {MAX_MANIFEST_BYTES}"
        raise ManifestError([Problem(words, "", file)])
    if raw.startswith(_WIDE_MARKS):
        words = "the manifest is UTF-16 or UTF-32; save it as UTF-8"
        raise ManifestError([Problem(words, "", file, 1, 1)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        words = "a byte that is not UTF-8 stands here; save the manifest as UTF-8"
        raise ManifestError([Problem(words, "", file, line, column)]) from None


def _read(text: str, file: str) -> TreeBuilder:
    """Read JSON where the name or the first character says so; most JSON is YAML, but slow."""
    is_yaml = file.lower().endswith((".yml", ".yaml"))
    builder = TreeBuilder(file)
    if file.lower().endswith(".json") or text.lstrip().startswith("{"):
        if not text.strip():
            return builder
        try:
            read_json(text, builder)
        except ManifestError:
            if not is_yaml:
                raise
            builder = TreeBuilder(file)  # a flow mapping, then
        else:
            return builder
    read_yaml(text, builder)
    return builder


def _findings(document: object) -> Iterator[Finding]:
    """Yield everything that is wrong with the values, rules of several values included."""
    found = list(_wrong_values(document))
    if of_version := [one for one in found if one.location == ("version",) and not one.is_absent]:
        # Another version may mean anything by its keys: say the one thing that is sure.
        yield from of_version
        return
    yield from found
    if isinstance(document, dict):
        yield from (_as_finding(breach) for breach in all_breaches(document))


def _wrong_values(document: object) -> Iterator[Finding]:
    try:
        Manifest.model_validate(document)
    except ValidationError as error:
        # More than can be shown is not worth the words; suggestions cost the most.
        details = error.errors(include_url=False)[: 2 * MAX_PROBLEMS]
        found = [finding(detail) for detail in details if not _is_echo(detail)]
        meant = {(*one.location[:-1], one.suggestion) for one in found if one.at_key}
        # A misspelt key is one fault, not an unknown key and a missing one.
        yield from (one for one in found if not (one.is_absent and one.location in meant))


def _is_echo(detail: ErrorDetails) -> bool:
    """Return whether an error only repeats what is said better elsewhere."""
    if detail["type"] == "too_short" and detail["input"]:
        return True  # pydantic does not count elements that are wrong
    return isinstance(detail.get("ctx", {}).get("error"), BrokenRule)  # all_breaches has it


def _as_finding(breach: Breach) -> Finding:
    return Finding(breach.location, breach.words, at_key=breach.at_key)


def _placed(
    found: Iterable[Finding], root: Node, replaced: set[Location], file: str
) -> Iterator[Problem]:
    """Give each finding its place; leave out what an earlier one at the same value explains."""
    seen: set[Location] = set()
    for one in found:
        location = one.location
        hidden = any(location[:depth] in replaced for depth in range(len(location) + 1))
        if hidden or location in seen:
            continue
        seen.add(location)
        mark = _mark_at(root, location, at_key=one.at_key)
        yield Problem(one.words, path_text(location), file, *mark, one.suggestion)


def _mark_at(root: Node, location: Location, *, at_key: bool) -> Mark:
    """Return where a value or key stands, or where the innermost thing around it does."""
    node = root
    mark = root.mark
    for step in location:
        if isinstance(node, MapNode) and step in node.entries:
            mark = node.key_marks[str(step)] if at_key else node.entries[str(step)].mark
            node = node.entries[str(step)]
        elif isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            mark = node.mark
        else:
            return node.mark
    return mark


def _in_order(problems: list[Problem], file: str) -> list[Problem]:
    ordered = sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))
    if len(ordered) > MAX_PROBLEMS:
        more = len(ordered) - MAX_PROBLEMS
        rest = Problem(f"and at least {more} more problems", "", file)
        ordered = [*ordered[:MAX_PROBLEMS], rest]
    return ordered

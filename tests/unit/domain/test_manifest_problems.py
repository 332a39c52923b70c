"""Every fault of a manifest is told at its place, in plain words, all of them at once."""

from __future__ import annotations

import copy
import re

import pytest
from glovebox.domain.errors import ManifestError
from glovebox.domain.manifest_text import MAX_PROBLEMS, load_manifest
from glovebox.domain.problem import Problem
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.domain.manifests import Document, a_document, as_text, documents

HEAD = "version: 1\nname: boltons\nsource: {path: .}\n"
SUITES = "suites:\n  - name: unit\n    framework: pytest\n"
COMMAND = "suites:\n  - name: smoke\n    framework: command\n"


def problems_of(text: str | bytes, file: str = "m.yml") -> tuple[Problem, ...]:
    with pytest.raises(ManifestError) as refused:
        load_manifest(text, file=file)
    return refused.value.problems


def source(text: str) -> str:
    return f"version: 1\nname: boltons\nsource: {text}\n{SUITES}"


def top(line: str) -> str:
    return f"{HEAD}{line}\n{SUITES}"


def unit(line: str) -> str:
    return f"{HEAD}{SUITES}    {line}\n"


def smoke(*lines: str) -> str:
    return HEAD + COMMAND + "".join(f"    {line}\n" for line in lines)


INLINE = "{inline: {files: {%s: x}}}"

ONE_FAULT = [
    # text, place and path, words, suggestion
    (f"name: boltons\nsource: {{path: .}}\n{SUITES}", "1:1: version", "is missing", None),
    (f"version: 2\nfoo: 1\n{SUITES}", "1:10: version", "reads version 1 only", None),
    (f"version: '1'\n{SUITES}", "1:10: version", "write version: 1", None),
    (f"version: true\n{SUITES}", "1:10: version", "write version: 1", None),
    (f"version: 1.0\n{SUITES}", "1:10: version", "write version: 1", None),
    (HEAD, "1:1: suites", "is missing; it is required", None),
    (f"{HEAD}suites: []\n", "4:9: suites", "is empty", None),
    (f"{HEAD}suites: unit\n", "4:9: suites", "must be a list, not text", None),
    (f"{HEAD}suites: [unit]\n", "4:10: suites[0]", "must be a mapping", None),
    (top("nmae: x"), "4:1: nmae", "unknown key 'nmae'", "name"),
    (top("fail-fast: true"), "4:1: fail-fast", "unknown key", "fail_fast"),
    (top("retries: 1"), "4:1: retries", "it belongs in suites[]", "suites[].retries"),
    (top("setup: [x]"), "4:1: setup", "it belongs in image", "image.setup"),
    (top("frobnicate: x"), "4:1: frobnicate", "known here: version, name,", None),
    (top("__proto__: {}"), "4:1: __proto__", "unknown key '__proto__'", None),
    (unit("time_out: 5s"), "7:5: suites[0].time_out", "unknown key", "timeout"),
    (unit("retry: 1"), "7:5: suites[0].retry", "unknown key", "retries"),
    (unit("parallelism: 1"), "7:5: suites[0].parallelism", "belongs at the top level", None),
    (top("image: {file: x}"), "4:9: image.file", "unknown key", None),
    (top("image: {bake: sometimes}"), "4:15: image.bake", "not one of auto, always, never", None),
    (top("image: {base: '-rf'}"), "4:15: image.base", "not the name of an image", None),
    (top("image: {setup: pip install}"), "4:16: image.setup", "write ['pip install']", None),
    (top("image: {setup: ['']}"), "4:17: image.setup[0]", "must not be empty", None),
    (top("image: {setup_network: on}"), "4:24: image.setup_network", "write true or", "true"),
    (top("env: {N: 1.10}"), "4:10: env.N", "not a number; put it in quotes", None),
    (top("env: {CI: true}"), "4:11: env.CI", "put it in quotes", None),
    (top("env: {CI: [a]}"), "4:11: env.CI", "must be text, not a list", None),
    (top("env: {2X: a}"), "4:7: env['2X']", "not the name of an environment variable", None),
    (top("env: {GLOVEBOX_X: a}"), "4:7: env.GLOVEBOX_X", "is reserved", None),
    (top("env: {GLOVEBOX: a}"), "4:7: env.GLOVEBOX", "is reserved", None),
    (top("env: [A]"), "4:6: env", "must be a mapping of keys to values, not a list", None),
    (top("secrets: [A, B, A]"), "4:17: secrets[2]", "'A' is secrets[0] already", None),
    (top("secrets: [GLOVEBOX_A]"), "4:11: secrets[0]", "is reserved", None),
    (top("secrets: {A: value}"), "4:10: secrets", "must be a list, not a mapping", None),
    (top("env: {A: x}\nsecrets: [A]"), "4:7: env.A", "is one of secrets already", None),
    (top("network: no"), "4:10: network", "write true or false", "false"),
    (top("network: yes"), "4:10: network", "write true or false", "true"),
    (top("cache: off"), "4:8: cache", "write true or false", "false"),
    (top("fail_fast: 1"), "4:12: fail_fast", "write true or false", "true"),
    (top("network: maybe"), "4:10: network", "write true or false", None),
    (top("parallelism: 0"), "4:14: parallelism", "whole number from 1 to 10000, not 0", None),
    (top("parallelism: 10001"), "4:14: parallelism", "from 1 to 10000", None),
    (top("parallelism: 1.5"), "4:14: parallelism", "whole number", None),
    (top("parallelism: true"), "4:14: parallelism", "whole number", None),
    (top("parallelism: '5'"), "4:14: parallelism", "without quotes", None),
    (top("parallelism: " + "9" * 5000), "4:14: parallelism", "not a number that means", None),
    (top("timeout: 1800"), "4:10: timeout", "a number needs a unit", "1800s"),
    (top("timeout: 1e999"), "4:10: timeout", "not a number that means anything", None),
    (top("timeout: .inf"), "4:10: timeout", "not a number that means anything", None),
    (top("timeout: true"), "4:10: timeout", "write a duration such as 60s", None),
    (top("timeout: 25h"), "4:10: timeout", "from 1s to 24h", None),
    (top("timeout:"), "4:1: timeout", "has no value", None),
    (top("timeout: ~"), "4:10: timeout", "has no value", None),
    (top("timeout: 30s"), "6:5: suites[0].timeout", "1m, by default, is longer than", None),
    (unit("timeout: 1h"), "7:14: suites[0].timeout", "1h is longer than the whole run's", None),
    (unit("timeout: 1:30"), "7:14: suites[0].timeout", "not a duration", "1m30s"),
    (unit("retries: 11"), "7:14: suites[0].retries", "from 0 to 10", None),
    (unit("isolation: tset"), "7:16: suites[0].isolation", "not one of test, file", "test"),
    (unit("paths: tests"), "7:12: suites[0].paths", "must be a list, not text", None),
    (unit("paths: [/etc]"), "7:13: suites[0].paths[0]", "is absolute", None),
    (unit("paths: ['C:/x']"), "7:13: suites[0].paths[0]", "is absolute", None),
    (unit("paths: [a/../b]"), "7:13: suites[0].paths[0]", "leaves the source", None),
    (unit("paths: [-x]"), "7:13: suites[0].paths[0]", "would read as an option", "./-x"),
    (unit(r"paths: ['a\b']"), "7:13: suites[0].paths[0]", "backslash", "a/b"),
    (unit(r'paths: ["a\nb"]'), "7:13: suites[0].paths[0]", "control character", None),
    (unit("artifacts: ['../*']"), "7:17: suites[0].artifacts[0]", "leaves the source", None),
    (unit("tests: []"), "7:12: suites[0].tests", "is empty", None),
    (unit("tests: [a, ' ']"), "7:16: suites[0].tests[1]", "must not be empty", None),
    (unit("tests: [a, b, a]"), "7:19: suites[0].tests[2]", "'a' is tests[0] already", None),
    (unit(r'tests: ["a\0b"]'), "7:13: suites[0].tests[0]", "NUL character", None),
    (unit(f"tests: [{'é' * 5001}]"), "7:13: suites[0].tests[0]", "limit is 10000", None),
    (unit("tests: [a]\n    paths: [b]"), "7:12: suites[0].tests", "give one", None),
    (unit("tags: [a, a]"), "7:15: suites[0].tags[1]", "'a' is tags[0] already", None),
    (unit("command: [x]"), "7:14: suites[0].command", "framework: command has command", None),
    (unit("junit: x.xml"), "7:12: suites[0].junit", "framework: command has junit", None),
    (top("").replace("pytest", "jest"), "7:16: suites[0].framework", "it has pytest, ", None),
    (top("").replace("pytest", "Py-Test"), "7:16: suites[0].framework", "no framework", "pytest"),
    (top("").replace("unit", "a b"), "6:11: suites[0].name", "'a b' is not a name", None),
    (unit("- name: unit").replace("    - ", "  - ") + "    framework: pytest\n",
     "7:11: suites[1].name", "is the name of suites[0] already", None),
    (smoke(), "5:5: suites[0].command", "needs one", None),
    (smoke("command: ./smoke"), "7:14: suites[0].command", "write ['./smoke']", None),
    (smoke("command: []"), "7:14: suites[0].command", "is empty", None),
    (smoke("command: ['']"), "7:15: suites[0].command[0]", "must name the program", None),
    (smoke("command: [sleep, 5]"), "7:22: suites[0].command[1]", "put it in quotes", None),
    (smoke("command: [x]", "paths: [a]"), "8:12: suites[0].paths", "is for the others", None),
    (smoke("command: [x, '{test_id}']"), "7:18: suites[0].command[1]", "needs tests", None),
    (smoke("command: [x, 'a {test_id}', '{test_id}']", "tests: [a]"),
     "7:18: suites[0].command[1]", "must be an element of its own", None),
    (smoke("command: [x]", "tests: [a]"), "7:14: suites[0].command", "tells tests apart", None),
    (source("{}"), "3:9: source", "exactly one of path, s3, git, inline", None),
    (source("."), "3:9: source", "must be a mapping", None),
    (source("{pth: .}"), "3:10: source.pth", "unknown key", "path"),
    (source("{path: ., s3: 's3://bucket/k'}"), "3:23: source.s3", "path is given already", None),
    (source("{path: /etc}"), "3:16: source.path", "is absolute", None),
    (source("{s3: 'https://x'}"), "3:14: source.s3", "s3://bucket/key.tar.gz", None),
    (source("{git: {url: 'https://h/r'}}"), "3:15: source.git.ref", "is missing", None),
    (source("{git: {url: 'http://h/r', ref: m}}"), "3:21: source.git.url", "https://", None),
    (source("{git: {url: 'https://u:p@h/r', ref: m}}"), "3:21: source.git.url", "secrets", None),
    (source("{git: {url: 'https://h/r', ref: '--upload-pack=x'}}"),
     "3:41: source.git.ref", "not a branch, tag or commit", None),
    (source("{git: {url: 'https://h/r', ref: 'a..b'}}"), "3:41: source.git.ref", "git acc", None),
    (source(INLINE % "../a"), "3:27: source.inline.files['../a']", "leaves the source", None),
    (source(INLINE % "/a"), "3:27: source.inline.files['/a']", "is absolute", None),
    (source(INLINE % "a//b"), "3:27: source.inline.files['a//b']", "not the plain path", None),
    (source(INLINE % "./a"), "3:27: source.inline.files['./a']", "not the plain path", None),
    (source(INLINE % r'"a\x01"'), r"3:27: source.inline.files['a\x01']", "control char", None),
    (source(INLINE % "a: x, a/b"), "3:33: source.inline.files['a/b']", "cannot be a folder", None),
    (source("{inline: {files: {}}}"), "3:26: source.inline.files", "is empty", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "words", "suggestion"), ONE_FAULT, ids=[case[1][:50] for case in ONE_FAULT]
)
def test_one_fault_is_one_problem_at_its_place(
    text: str, place: str, words: str, suggestion: str | None
) -> None:
    (problem,) = problems_of(text)
    assert f"{problem.line}:{problem.column}: {problem.path}" == place
    assert words in problem.message
    assert problem.suggestion == suggestion


def test_all_faults_are_told_at_once_in_the_order_of_the_text() -> None:
    text = (
        "version: 1\nnmae: x\nsource: {path: /}\nnetwork: no\nsuites:\n  - name: a\n"
        "    framework: command\n    timeout: 60\n    tests: [a, a]\n  - {}\n"
    )
    assert [f"{problem.line}: {problem.path}" for problem in problems_of(text)] == [
        "2: nmae",
        "3: source.path",
        "4: network",
        "6: suites[0].command",
        "8: suites[0].timeout",
        "9: suites[0].tests[1]",
        "10: suites[1].name",
        "10: suites[1].framework",
    ]


def test_json_has_places_as_well() -> None:
    text = '{\n  "version": 1,\n  "name": "a",\n  "source": {"path": 5},\n  "suites": []\n}\n'
    assert [str(problem) for problem in problems_of(text, "m.json")] == [
        "m.json:4:22: source.path: must be text, not a number; put it in quotes",
        "m.json:5:13: suites: is empty; it needs at least one element, or the key removed",
    ]


def test_a_problem_reads_as_one_line_that_an_editor_understands() -> None:
    (problem,) = problems_of(unit("time_out: 5s"), "glovebox.yml")
    assert str(problem) == (
        "glovebox.yml:7:5: suites[0].time_out: unknown key 'time_out' (did you mean 'timeout'?)"
    )


def test_a_thousand_faults_are_told_as_a_hundred_and_a_count() -> None:
    suites = [{"name": f"s{n}", "framework": "pytest", "tests": ["a", "a"]} for n in range(100)]
    suites += [{"name": "s0", "framework": "jest"}]
    problems = problems_of(as_text(a_document(suites=suites, retries=1)), "m.json")
    assert len(problems) == MAX_PROBLEMS + 1
    assert re.fullmatch("and at least [0-9]+ more problems", problems[-1].message)


def test_hostile_words_are_shown_as_escapes() -> None:
    text = as_text(a_document(**{"\x1b[31m\n\u202e": 1, "name": "\x1b]52;c;\x07", "b" * 9999: 1}))
    for problem in problems_of(text, "m\n\x1b.json"):
        assert str(problem).isprintable()
        assert len(str(problem)) < 500


JARGON = re.compile(
    r"Input|should be|_type|_error|validat|pydantic|str\b|dict|tuple|NoneType|\bint\b"
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(deadline=None)  # the machine is shared
@given(documents, st.data())
def test_any_value_anywhere_is_accepted_or_refused_in_plain_words(
    document: Document, data: st.DataObject
) -> None:
    """Replaces one value, at whatever depth, by anything at all."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(ANYTHING)
    try:
        load_manifest(as_text(document), file="m.json")
    except ManifestError as error:
        for problem in error.problems:
            assert problem.line == 1
            assert problem.column
            words = re.sub(r"'.*'|\[.*\]|\(did.*", "", problem.message)
            assert not JARGON.search(words), problem


def _places(part: Document | list[object]) -> list[tuple[Document, str]]:
    found: list[tuple[Document, str]] = []
    if isinstance(part, dict):
        found += [(part, key) for key in part]
        for value in part.values():
            found += _places(value)
    elif isinstance(part, list):
        for value in part:
            found += _places(value)  # type: ignore[arg-type]
    return found

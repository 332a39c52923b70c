"""What is a manifest's text, and what is refused before anything is made of it."""

from __future__ import annotations

import pytest
from glovebox.domain.document import MAX_DEPTH, MAX_NODES
from glovebox.domain.errors import ManifestError
from glovebox.domain.manifest_text import MAX_MANIFEST_BYTES, MAX_PROBLEMS, load_manifest
from glovebox.domain.problem import Problem
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.domain.manifests import a_document, as_text

YAML = """\
version: 1
name: boltons
source: {path: .}
suites:
  - name: unit
    framework: pytest
"""
JSON = as_text(a_document())


def problems_of(text: str | bytes, file: str) -> tuple[Problem, ...]:
    with pytest.raises(ManifestError) as refused:
        load_manifest(text, file=file)
    return refused.value.problems


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (YAML, "glovebox.yml"),
        (YAML.encode(), "glovebox.yaml"),
        (b"\xef\xbb\xbf" + YAML.encode(), "glovebox.yml"),
        ("\ufeff" + YAML, "stdin"),
        (YAML.replace("\n", "\r\n"), "glovebox.yml"),
        (f"# a comment\n---\n{YAML}...\n", "glovebox.yml"),
        (f"%YAML 1.2\n---\n{YAML}", "glovebox.yml"),
        (JSON, "glovebox.json"),
        (JSON, "stdin"),
        (JSON, "glovebox.yml"),
        (JSON.replace("{", "{\n\t"), "glovebox.yml"),
        ("{version: 1, name: a, source: {path: .}, suites: [{name: a, framework: pytest}]}",
         "flow.yml"),
    ],
)  # fmt: skip
def test_yaml_and_json_are_read_by_name_or_by_look(text: str | bytes, file: str) -> None:
    assert load_manifest(text, file=file).suites[0].framework == "pytest"


REFUSED_WHOLE = [
    # text, file, place, words
    ("", "m.yml", "1:1", "is empty"),
    ("# nothing\n", "m.yml", "1:1", "is empty"),
    ("---\n", "m.yml", "1:1", "is empty"),
    ("null", "m.json", "1:1", "is empty"),
    (" \n", "m.json", "1:1", "is empty"),
    ("hello", "m.yml", "1:1", "must be a mapping of keys to values, not text"),
    ("[1]", "m.json", "1:1", "must be a mapping of keys to values, not a list"),
    (YAML + "---\n" + YAML, "m.yml", "7:1", "a second one begins here"),
    (YAML + "...\ngarbage\n", "m.yml", "8:1", "a second one begins here"),
    ("%YAML 1.1\n---\n" + YAML, "m.yml", "2:1", "directives"),
    ("%TAG ! tag:evil,1:\n---\n" + YAML, "m.yml", "2:1", "directives"),
    ("a:\n\t- b\n", "m.yml", "2:1", "a tab stands here"),
    ("a: b: c\n", "m.yml", "1:5", "in quotes"),
    ("a: 'b\n", "m.yml", "2:1", "not valid YAML"),
    ('a: "\\UFFFFFFFF"', "m.yml", "1:1", "an escape cannot be read"),
    ("? [a]\n: b\n", "m.yml", "1:3", "a key must be plain text"),
    ("version: 1\nname: a\x00b\n", "m.yml", "2:8", "U+0000 is not allowed"),
    ("a: \x1b[31m\n", "m.yml", "1:4", "U+001B is not allowed"),
    (YAML.encode("utf-16"), "m.yml", "1:1", "UTF-16"),
    (YAML.encode("utf-16-be"), "m.yml", "1:1", "U+0000 is not allowed"),
    (YAML.encode("utf-32"), "m.yml", "1:1", "UTF-16 or UTF-32"),
    (b"version: 1\nname: caf\xe9\n", "m.yml", "2:10", "not UTF-8"),
    ("name: \ud800\n", "m.yml", "1:7", "not UTF-8"),
    ('{"a": NaN}', "m.json", "1:7", "'NaN' is not a JSON value"),
    ('{"a": -Infinity}', "m.json", "1:7", "'-Infinity' is not a JSON value"),
    ('{"a": 1,}', "m.json", "1:9", "a key in double quotes must stand here"),
    ('{"a": 1} x', "m.json", "1:10", "more text after the end"),
    ('{"a": 01}', "m.json", "1:8", "a ',' or '}' must stand here"),
    ('{"a" 1}', "m.json", "1:6", "a ':' must follow"),
    ('{"a": }', "m.json", "1:7", "a value must stand here"),
    ('{"a": "\t"}', "m.json", "1:7", "control character"),
    ('{"a": "\\x"}', "m.json", "1:7", "an escape that JSON does not know"),
    ("{'a': 1}", "m.json", "1:2", "a key in double quotes must stand here"),
    ("// no\n{}", "m.json", "1:1", "a value must stand here"),
    ("{", "stdin", "1:2", "not valid JSON"),
    (YAML, "m.json", "1:1", "'version' is not a JSON value"),
]


@pytest.mark.parametrize(("text", "file", "place", "words"), REFUSED_WHOLE)
def test_a_text_that_cannot_be_read_is_refused_at_its_place(
    text: str | bytes, file: str, place: str, words: str
) -> None:
    (problem,) = problems_of(text, file)
    assert f"{problem.line}:{problem.column}" == place
    assert words in problem.message


REFUSED_PARTS = [
    # what follows a valid manifest, file, place and path, words
    ("env: &x {A: b}\n", "7:6: env", "anchors (&) are not accepted"),
    ("env: *x\n", "7:6: env", "aliases (*) are not accepted"),
    ("env: {<<: {A: b}}\n", "7:7: env['<<']", "merge keys (<<) are not accepted"),
    ("env: {A: !!int 5}\n", "7:10: env.A", "tags are not accepted; remove '!!int'"),
    ("env: {A: !evil 5}\n", "7:10: env.A", "tags are not accepted; remove '!evil'"),
    ("env: !!python/object:os.system {}\n", "7:6: env", "tags are not accepted"),
    ("name: again\n", "7:1: name", "duplicate key 'name', given first at line 2, column 1"),
    ('"name": again\n', "7:1: name", "given first at line 2, column 1"),
    ('env: {A: "\\ud800"}\n', "7:10: env.A", "a lone surrogate"),
    ('env: {A: "\\0"}\n', "7:10: env.A", "NUL character"),
    ('env: {"\\0": a}\n', r"7:7: env['\x00']", "NUL character"),
    ('env: {"\\udc00": a}\n', r"7:7: env['\udc00']", "a lone surrogate"),
]


@pytest.mark.parametrize(("more", "place", "words"), REFUSED_PARTS)
def test_yaml_beyond_the_plain_part_is_refused_and_the_rest_still_checked(
    more: str, place: str, words: str
) -> None:
    problem, last = problems_of(YAML + more + "network: no\n", "m.yml")
    assert f"{problem.line}:{problem.column}: {problem.path}" == place
    assert words in problem.message
    assert last.path == "network"


@pytest.mark.parametrize(
    ("part", "place", "words"),
    [
        ('"name": "b"', "name", "duplicate key 'name', given first at line 1, column 2"),
        (r'"env": {"A": "\ud800"}', "env.A", "a lone surrogate"),
        (r'"env": {"A": "\u0000"}', "env.A", "NUL character"),
        ('"parallelism": ' + "9" * 10_000, "parallelism", "not a number that means anything"),
        ('"parallelism": 1e999', "parallelism", "not a number that means anything"),
        ('"parallelism": null', "parallelism", "has no value"),
        ('"__proto__": {}', "__proto__", "unknown key"),
    ],
)
def test_json_faults_are_told_beside_the_others(part: str, place: str, words: str) -> None:
    text = f'{{"name": "a", "version": 1, "source": {{"path": "."}}, "cache": 0,\n{part},\n'
    text += '"suites": [{"name": "a", "framework": "pytest"}]}'
    first, problem = problems_of(text, "m.json")
    assert first.path == "cache"
    assert (problem.line, problem.path) == (2, place)
    assert words in problem.message


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "1:30", "1_000", "=", "<<"])
def test_what_only_yaml_1_1_reads_as_more_than_text_is_text(word: str) -> None:
    manifest = load_manifest(f"{YAML}env: {{A: {word}}}\n", file="m.yml")
    assert manifest.env == {"A": word}


def test_keys_are_text_whatever_they_look_like() -> None:
    (problem,) = problems_of(f"{YAML}1: a\n", "m.yml")
    assert problem.message.startswith("unknown key '1'")
    assert load_manifest(f"{YAML}env: {{on: a, _null: b}}\n", file="m.yml").env["on"] == "a"


@pytest.mark.parametrize("file", ["m.yml", "m.json"])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused_at_the_twentieth_level(opening: str, file: str) -> None:
    problems = problems_of(opening * 10_000, file)
    assert f"nested more than {MAX_DEPTH} levels deep" in problems[-1].message
    assert problems[-1].column == len(opening) * MAX_DEPTH + 1


def test_deep_blocks_are_refused_as_well() -> None:
    text = "".join(f"{' ' * depth}a:\n" for depth in range(1000))
    assert "nested more than" in problems_of(text, "m.yml")[-1].message


def test_an_alias_bomb_is_never_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    problems = problems_of("\n".join(lines), "m.yml")
    assert any("aliases (*) are not accepted" in problem.message for problem in problems)
    assert len(problems) <= MAX_PROBLEMS + 1


@pytest.mark.parametrize("file", ["m.yml", "m.json"])
def test_too_many_values_are_refused_while_they_are_read(file: str) -> None:
    problems = problems_of('{"a": [' + "0," * (MAX_NODES + 10) + "0]}", file)
    assert f"more than {MAX_NODES} keys and values" in problems[-1].message


@pytest.mark.parametrize(
    "text", ["#" * (MAX_MANIFEST_BYTES + 1), "é" * (MAX_MANIFEST_BYTES // 2 + 1)]
)
def test_a_text_beyond_a_mebibyte_is_refused_unread(text: str) -> None:
    for given_text in (text, text.encode()):
        (problem,) = problems_of(given_text, "m.yml")
        assert f"the limit is {MAX_MANIFEST_BYTES}" in problem.message
        assert (problem.line, problem.path) == (None, "")


def test_inline_files_may_fill_the_whole_manifest() -> None:
    content = "x" * (MAX_MANIFEST_BYTES - 500)
    manifest = a_document(source={"inline": {"files": {"test_a.py": content}}})
    loaded = load_manifest(as_text(manifest), file="m.json")
    assert loaded.source.inline is not None
    assert loaded.source.inline.files == {"test_a.py": content}


@settings(deadline=None)  # the machine is shared
@given(st.text() | st.binary() | st.text("{}[]:,&*!|>'\"%#-? \n\tab01"))
def test_any_text_is_refused_in_the_one_agreed_way(text: str | bytes) -> None:
    for file in ("m.yml", "m.json", "stdin"):
        assert problems_of(text, file)

"""Builders of manifests for tests: as text, as documents and as hypothesis strategies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]


def a_suite(**changes: object) -> Document:
    """A pytest suite, as a document; None removes a key."""
    return _changed({"name": "unit", "framework": "pytest"}, changes)


def a_command(**changes: object) -> Document:
    """A command suite, as a document; None removes a key."""
    return _changed({"name": "smoke", "framework": "command", "command": ["./smoke"]}, changes)


def a_document(**changes: object) -> Document:
    """A whole manifest, as a document; None removes a key."""
    plain = {"version": 1, "name": "boltons", "source": {"path": "."}, "suites": [a_suite()]}
    return _changed(plain, changes)


def as_text(document: object) -> str:
    """The document as JSON."""
    return json.dumps(document)


def _changed(document: Document, changes: Document) -> Document:
    return {key: value for key, value in {**document, **changes}.items() if value is not None}


_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
_env_names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: not name.startswith("GLOVEBOX")
)
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
_filled = _texts.filter(lambda text: text.strip() != "")
_files = st.lists(
    st.from_regex(r"[a-z0-9_é ]{0,8}[a-z0-9]\.py", fullmatch=True), min_size=1, max_size=3
).map("/".join)
_paths = _files | st.sampled_from([".", "tests/", "./tests", "**/*.png"])
_seconds = st.integers(61, 24 * 3600)
_durations = _seconds.map(lambda s: f"{s}s") | st.sampled_from(["2m", "1h30m", "24h", "1h1s"])
_envs = st.dictionaries(_env_names.map("E_".__add__), _texts, max_size=3)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    return st.fixed_dictionaries({}, optional=fields)


_shared = {
    "isolation": st.sampled_from(["test", "file", "suite"]),
    "timeout": st.integers(1, 60).map(lambda s: f"{s}s"),
    "retries": st.integers(0, 10),
    "artifacts": st.lists(_paths, max_size=3),
    "tags": st.lists(_names, max_size=3, unique=True),
    "env": _envs,
}
_tests = st.lists(_filled, min_size=1, max_size=3, unique=True)
_suites = st.one_of(
    _some(paths=st.lists(_paths, max_size=3), **_shared).map(lambda s: a_suite(**s)),
    _some(tests=_tests, **_shared).map(lambda s: a_suite(**s)),
    _some(command=st.lists(_filled, min_size=1), junit=_paths, **_shared).map(
        lambda s: a_command(**s)
    ),
    st.fixed_dictionaries({"tests": _tests}, optional=_shared).map(
        lambda s: a_command(command=["run", "{test_id}"], **s)
    ),
)
_sources = st.one_of(
    _paths.map(lambda path: {"path": path}),
    st.just({"s3": "s3://bucket/folder/key.tar.gz"}),
    st.just({"git": {"url": "https://example.org/a/b.git", "ref": "feature/x"}}),
    st.dictionaries(_files, _texts, min_size=1, max_size=3)
    .filter(lambda files: not any(a != b and b.startswith(f"{a}/") for a in files for b in files))
    .map(lambda files: {"inline": {"files": files}}),
)
_images = _some(
    base=st.just("python-3.12"),
    setup=st.lists(_filled, max_size=3),
    setup_network=st.booleans(),
    bake=st.sampled_from(["auto", "always", "never"]),
)

documents: st.SearchStrategy[Document] = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "name": _names,
        "source": _sources,
        "suites": st.lists(_suites, min_size=1, max_size=3).map(
            lambda suites: [{**suite, "name": f"s{n}"} for n, suite in enumerate(suites)]
        ),
    },
    optional={
        "image": _images,
        "env": _envs,
        "secrets": st.lists(_env_names.map("S_".__add__), max_size=3, unique=True),
        "network": st.booleans(),
        "parallelism": st.integers(1, 10_000),
        "timeout": _durations,
        "fail_fast": st.booleans(),
        "cache": st.booleans(),
    },
)
"""Every kind of valid manifest."""

"""What in a source says that its tests are Python's, and how they are installed."""

from __future__ import annotations

import re

from glovebox.frameworks.contract import Detection, SourceView

_CONFIGURED = (
    ("pytest.ini", r""),
    (".pytest.ini", r""),
    ("pyproject.toml", r"^\[tool\.pytest(\.ini_options)?\]"),
    ("tox.ini", r"^\[pytest\]"),
    ("setup.cfg", r"^\[tool:pytest\]"),
)
"""Where pytest's configuration stands, and the line that begins it."""
_REQUIRED = re.compile(r"(?mi)^\s*[\"']?pytest\s*(?:$|[\[<>=!~;@,#\"'])")
_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
_UNITTEST_FILE = re.compile(r"(?:^|/)test[^/]*\.py$")
"""What unittest's own discovery looks into."""
_IMPORTS_UNITTEST = re.compile(r"(?m)^(?:import unittest\b|from unittest\b)")
# Only letters that a shell takes as they are.
_REQUIREMENTS = re.compile(
    r"^(?:requirements/)?[\w.-]*(?:requirements|dev|tests?)[\w.-]*\.txt$", re.A
)


def detect_pytest(source: SourceView) -> Detection | None:
    """Configuration of pytest, a requirement of it, or files named as its tests are."""
    for name, line in _CONFIGURED:
        text = source.text(name)
        found = None if text is None else re.search(line, text, re.MULTILINE)
        if found is not None:
            what = f"has {found[0]}" if found[0] else "is there"
            return Detection(f"{name} {what}", certain=True, setup=python_setup(source))
    for name in requirement_files(source):
        if _REQUIRED.search(source.text(name) or ""):
            return Detection(f"{name} names pytest", certain=True, setup=python_setup(source))
    conftest = next((name for name in source.files if name.rpartition("/")[2] == "conftest.py"), "")
    if conftest:
        return Detection(f"{conftest} is there", certain=True, setup=python_setup(source))
    named = [name for name in source.files if _TEST_FILE.search(name)]
    if not named:
        return None
    return Detection(f"{named[0]} is named like a test", certain=False, setup=python_setup(source))


def detect_unittest(source: SourceView) -> Detection | None:
    """Files named as tests that import unittest. pytest runs these as well: never certain."""
    for name in source.files:
        if _UNITTEST_FILE.search(name) and _IMPORTS_UNITTEST.search(source.text(name) or ""):
            return Detection(f"{name} imports unittest", certain=False, setup=python_setup(source))
    return None


def requirement_files(source: SourceView) -> list[str]:
    """Files that pip can install requirements from."""
    return [name for name in source.files if _REQUIREMENTS.search(name)]


def python_setup(source: SourceView) -> tuple[str, ...]:
    """Commands that install a Python project and its requirements."""
    commands = [f"pip install -r {name}" for name in requirement_files(source)]
    project = source.text("pyproject.toml") or ""
    if (
        re.search(r"(?m)^\[(build-system|project)\]", project)
        or source.text("setup.py") is not None
    ):
        commands.append("pip install .")
    return tuple(commands)

"""What a source's files say of its framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from glovebox.frameworks.pytest import PytestFramework
from glovebox.frameworks.unittest import UnittestFramework


@dataclass(frozen=True)
class Folder:
    """A source in memory."""

    contents: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        return sorted(self.contents)

    def text(self, path: str) -> str | None:
        return self.contents.get(path)


@pytest.mark.parametrize(
    ("name", "text", "because"),
    [
        ("pytest.ini", "", "pytest.ini is there"),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", "has [tool.pytest.ini_options]"),
        ("pyproject.toml", "[tool.pytest]\n", "has [tool.pytest]"),
        ("setup.cfg", "[metadata]\n[tool:pytest]\n", "has [tool:pytest]"),
        ("requirements-dev.txt", "# tools\npytest>=8\n", "requirements-dev.txt names pytest"),
        ("tests/conftest.py", "", "tests/conftest.py is there"),
    ],
)
def test_what_belongs_to_pytest_alone_makes_certain(name: str, text: str, because: str) -> None:
    found = PytestFramework().detect(Folder({name: text}))
    assert found is not None
    assert found.certain
    assert because in found.because


def test_a_name_alone_only_suggests_pytest() -> None:
    found = PytestFramework().detect(Folder({"tests/test_a.py": "", "setup.cfg": "[metadata]"}))
    assert found is not None
    assert not found.certain


def test_a_source_without_a_trace_of_pytest_is_none_of_its() -> None:
    names = {"src/latest.py": "", "requirements.txt": "pytest-like\n# pytest\n", "a.js": ""}
    assert PytestFramework().detect(Folder(names)) is None


def test_the_setup_installs_requirements_and_the_project() -> None:
    files = {"conftest.py": "", "requirements-dev.txt": "", "pyproject.toml": "[project]\n"}
    found = PytestFramework().detect(Folder(files))
    assert found is not None
    assert found.setup == ("pip install -r requirements-dev.txt", "pip install .")


def test_a_file_name_never_becomes_part_of_a_shell_command() -> None:
    files = {"conftest.py": "", "requirements; rm -rf ~.txt": "", "$(id)tests.txt": ""}
    found = PytestFramework().detect(Folder(files))
    assert found is not None
    assert found.setup == ()


def test_a_test_file_that_imports_unittest_only_suggests_it() -> None:
    found = UnittestFramework().detect(Folder({"tests/test_a.py": "import unittest\n"}))
    assert found is not None
    assert not found.certain
    others = {"tests/test_a.py": "import pytest\n", "a.py": "import unittest\n"}
    assert UnittestFramework().detect(Folder(others)) is None

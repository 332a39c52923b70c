"""Which of several frameworks a source has, and which projects lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from glovebox.domain.manifest import FrameworkName
from glovebox.frameworks.command import CommandFramework
from glovebox.frameworks.contract import Detection, SourceView
from glovebox.frameworks.detection import FolderOf, detect_frameworks, projects_below
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.frameworks.test_detection import Folder


@dataclass(frozen=True)
class Saying(CommandFramework):
    """A framework that says this of any source."""

    said: Detection | None

    def detect(self, source: SourceView) -> Detection | None:
        return self.said


SURE, GUESS = Detection("sure", certain=True), Detection("a guess", certain=False)
NAMES = (FrameworkName.PYTEST, FrameworkName.JEST, FrameworkName.MOCHA, FrameworkName.COMMAND)


def found(*said: Detection | None) -> list[FrameworkName]:
    frameworks = {name: Saying(one) for name, one in zip(NAMES, said, strict=False)}
    return [one.name for one in detect_frameworks(Folder(), frameworks)]


def test_all_that_are_certain_are_found_in_their_order() -> None:
    assert found(SURE, None, SURE) == [NAMES[0], NAMES[2]]


def test_certainty_wins_over_every_guess() -> None:
    assert found(GUESS, GUESS, SURE) == [NAMES[2]]


def test_of_guesses_the_first_is_taken() -> None:
    assert found(None, GUESS, GUESS) == [NAMES[1]]


def test_a_source_that_nobody_knows_has_none() -> None:
    assert found(None, None) == []


def test_nested_projects_are_their_outermost_and_neighbours_are_apart() -> None:
    files = [
        "go.mod",
        "web/package.json",
        "web/deep/package.json",
        "web-x/setup.py",
        "a/b/c/d/go.mod",
    ]
    assert list(projects_below(Folder(dict.fromkeys(files, "")))) == ["web", "web-x"]


PARTS = st.sampled_from(["a", "a-b", "b", "package.json", "go.mod", "x.py"])
PATHS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)


@given(st.lists(PATHS, max_size=12))
def test_no_project_lies_in_another_and_each_has_its_file(paths: Sequence[str]) -> None:
    source = Folder(dict.fromkeys(paths, ""))
    projects = [PurePosixPath(folder) for folder in projects_below(source)]
    for one in projects:
        assert not any(one.is_relative_to(other) for other in projects if other != one)
        assert FolderOf(source, str(one)).files

"""Which frameworks a source's tests are written for, by what its files say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from glovebox.domain.manifest import FrameworkName
from glovebox.frameworks.contract import Detection, Framework, SourceView

PROJECT_FILES = frozenset(
    {"package.json", "pyproject.toml", "setup.py", "go.mod", "Cargo.toml", "Gemfile"}
    | {"composer.json", "pom.xml", "build.gradle", "build.gradle.kts"}
)
"""A folder with one of these is a project of its own."""
MAX_DEPTH = 3
"""Folders that deep below the source are looked at as projects; deeper ones tend to be somebody
else's code, or test data."""


@dataclass(frozen=True)
class FoundFramework:
    """A framework that a source has tests for, and how that is known."""

    name: FrameworkName
    detection: Detection


@dataclass(frozen=True)
class FolderOf:
    """A folder of a source, as a source of its own."""

    source: SourceView
    folder: str

    @property
    def files(self) -> Sequence[str]:
        """As `SourceView.files`."""
        start = f"{self.folder}/"
        return [name.removeprefix(start) for name in self.source.files if name.startswith(start)]

    def text(self, path: str) -> str | None:
        """As `SourceView.text`."""
        return self.source.text(f"{self.folder}/{path}")


def detect_frameworks(
    source: SourceView, frameworks: Mapping[FrameworkName, Framework]
) -> tuple[FoundFramework, ...]:
    """The frameworks of a source, in their order. All that are certain; where none is, the first
    that the names of files suggest, for two guesses at the same files help nobody."""
    asked = ((name, framework.detect(source)) for name, framework in frameworks.items())
    found = [FoundFramework(name, said) for name, said in asked if said is not None]
    certain = [one for one in found if one.detection.certain]
    return tuple(certain or found[:1])


def projects_below(source: SourceView) -> Iterator[str]:
    """The folders of a source that are projects of their own, sorted; of nested ones the
    outermost."""
    parents = (PurePosixPath(name).parent for name in source.files if _is_project_file(name))
    outermost: PurePosixPath | None = None
    for folder in sorted(set(parents)):  # by their parts, so that what is in a folder follows it
        if outermost is None or not folder.is_relative_to(outermost):
            outermost = folder
            yield str(folder)


def _is_project_file(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name in PROJECT_FILES and 0 < len(path.parent.parts) <= MAX_DEPTH

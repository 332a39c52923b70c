"""What Glovebox asks of a test framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Protocol

from glovebox.domain.evidence import Evidence, FrameworkRecord
from glovebox.domain.manifest import Suite
from glovebox.domain.plan import DiscoveredTest, PlannedAttempt

FOLDER = "\0folder"
"""Stands for the process's own folder in the sandbox, where its files are delivered. No
argument can hold a NUL, so nobody's text is mistaken for it."""
NONCE = "\0nonce"
"""Stands for the attempt's nonce."""


@dataclass(frozen=True)
class Command:
    """One process to run in a sandbox. Test ids are in `argv` or `files`, as data.

    `FOLDER` and `NONCE` in `argv` and `results` are filled in at launch.
    """

    argv: Sequence[str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Name to content."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Name to path, relative to the source's root unless it starts with `FOLDER`: what to
    collect when the process has ended."""
    results_are_ascii: bool = False
    """Whether the results hold ASCII only: such an answer needs no encoding on its way."""


@dataclass(frozen=True)
class Discovery:
    """What a framework found in a source."""

    tests: Sequence[DiscoveredTest] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    """Id of what could not be loaded, to the reason."""
    context: Mapping[str, str] = field(default_factory=dict)
    """What the framework wants back with every command that it makes for this suite."""


class SourceView(Protocol):
    """A source as detection sees it: names, and the beginnings of a few files."""

    @property
    def files(self) -> Sequence[str]:
        """Paths of all files, relative to the source's root, with `/`, sorted."""

    def text(self, path: str) -> str | None:
        """The first 64 KiB of a file, undecodable bytes replaced; None where there is no such
        file. The text is untrusted."""


@dataclass(frozen=True)
class Detection:
    """Why a source looks like one of this framework's, and the suite that would fit."""

    because: str
    """What was found, for people: "pyproject.toml has [tool.pytest.ini_options]"."""
    certain: bool
    """Whether the framework's own configuration or dependency was found; else names only
    suggest it, and a certain one wins over it."""
    paths: tuple[str, ...] = ()
    """What `paths` the suite needs; empty where the framework finds its tests by itself."""
    setup: tuple[str, ...] = ()
    """Shell commands that install what the tests need, as `image.setup` takes them."""


class Framework(Protocol):
    """A test framework, as Glovebox sees it. Implementations hold no state."""

    def detect(self, source: SourceView) -> Detection | None:
        """Whether the source has tests of this framework; None where nothing says so."""

    def discover_command(self, suite: Suite) -> Command | None:
        """The process that lists the suite's tests; None where the manifest lists them."""

    def read_discovery(self, suite: Suite, evidence: Evidence | None, nonce: str) -> Discovery:
        """What the process found. Raises DiscoveryError where its answer proves nothing."""

    def run_command(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], context: Mapping[str, str]
    ) -> Command:
        """The process that runs exactly these tests."""

    def read_record(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], evidence: Evidence
    ) -> FrameworkRecord:
        """What the framework recorded. Never raises: what cannot be read is a problem in it."""


def payload(name: str) -> bytes:
    """A file that travels into sandboxes, from the `payload` folder."""
    return resources.files("glovebox.frameworks.payload").joinpath(name).read_bytes()

"""Finding the manifest and reading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.domain.manifest import Manifest

MANIFEST_NAMES = ("glovebox.yml", "glovebox.yaml", "glovebox.json")
MAX_READ_BYTES = 32 * 1024 * 1024
"""Read no further than this; the loader has its own, smaller limit and says so with a reason."""
_WRITE_ONE = "`glovebox init` writes one by looking at the project; or name a manifest."


@dataclass(frozen=True)
class ManifestFile:
    """A manifest and where it came from."""

    path: Path
    manifest: Manifest

    @property
    def folder(self) -> Path:
        """What the manifest's paths are relative to."""
        return self.path.absolute().parent


def find_manifest(given: Path | None) -> Path:
    """The manifest's file: named, in the named folder, or from here up to the git root."""
    if given is None:
        for folder in _upwards(Path.cwd()):
            if (found := _in_folder(folder)) is not None:
                return _short(found)
        message = f"no {', '.join(MANIFEST_NAMES)} here or above, up to the git root"
        raise CommandFailure(message, code=ExitCode.USAGE, hint=_WRITE_ONE)
    if given.is_dir():
        if (found := _in_folder(given)) is not None:
            return found
        message = f"no {', '.join(MANIFEST_NAMES)} in {one_line(str(given))}"
        raise CommandFailure(message, code=ExitCode.USAGE, hint=_WRITE_ONE)
    if not given.exists():
        message = f"there is no {one_line(str(given))}"
        raise CommandFailure(
            message, code=ExitCode.USAGE, hint="PATH is a manifest, or a folder that holds one."
        )
    return given


def read_manifest(path: Path) -> ManifestFile:
    """Load and check a manifest. Every problem is reported with file and line."""
    from glovebox.domain.errors import ManifestError
    from glovebox.domain.manifest_text import load_manifest

    try:
        with path.open("rb") as file:
            content = file.read(MAX_READ_BYTES)
    except OSError as error:
        message = f"cannot read {one_line(str(path))}: {error.strerror}"
        raise CommandFailure(message, code=ExitCode.USAGE) from error
    try:
        return ManifestFile(path, load_manifest(content, file=str(path)))
    except ManifestError as error:
        raise _invalid([str(problem) for problem in error.problems]) from error


def _invalid(details: list[str]) -> CommandFailure:
    count = len(details)
    message = f"the manifest has {count} problem{'s' if count != 1 else ''}; nothing was run"
    return CommandFailure(message, code=ExitCode.USAGE, details=[one_line(d) for d in details])


def _in_folder(folder: Path) -> Path | None:
    found = [folder / name for name in MANIFEST_NAMES if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        message = f"{one_line(str(folder))} holds {names}"
        raise CommandFailure(
            message, code=ExitCode.USAGE, hint="Name the one you mean: glovebox … PATH"
        )
    return found[0] if found else None


def _upwards(start: Path) -> Iterator[Path]:
    """`start` and the folders above it up to the git root; outside git, `start` alone."""
    chain = [start, *start.parents]
    for count, folder in enumerate(chain, 1):
        if (folder / ".git").exists():
            yield from chain[:count]
            return
    yield start


def _short(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path

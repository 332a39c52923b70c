"""`glovebox init`: a manifest for a project, by what its files say."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from glovebox.domain.manifest_text import load_manifest
from glovebox.frameworks.detection import (
    FolderOf,
    FoundFramework,
    detect_frameworks,
    projects_below,
)
from glovebox.frameworks.registry import FRAMEWORKS

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.manifest_file import MANIFEST_NAMES
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen
from glovebox_cli.source_listing import list_source

TEXT_BYTES = 64 * 1024
"""Of a file that detection looks into."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_YAML_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True)
class FolderView:
    """A folder as detection sees it: what would be sent of it, and no more."""

    folder: Path
    files: Sequence[str]

    def text(self, path: str) -> str | None:
        """As `SourceView.text`; a link is not followed."""
        if path not in self.files:
            return None
        place = self.folder / path
        try:
            if not stat.S_ISREG(place.lstat().st_mode):
                return None
            with place.open("rb") as file:
                return file.read(TEXT_BYTES).decode(errors="replace")
        except OSError:
            return None


def initialise(folder: Path, screen: Screen, *, force: bool, dry_run: bool) -> None:
    """Write the folder's manifest, or show it."""
    # A link counts, wherever it leads: it is not written through.
    there = [folder / name for name in MANIFEST_NAMES if os.path.lexists(folder / name)]
    if there and not dry_run:
        _may_replace(there, force=force)
    source = FolderView(folder, list_source(folder).names)
    found = detect_frameworks(source, FRAMEWORKS)
    below = {
        project: detect_frameworks(FolderOf(source, project), FRAMEWORKS)
        for project in projects_below(source)
    }
    if not found:
        raise _nothing_found(folder, [project for project, said in below.items() if said])
    text = manifest_text(name_of(folder), found)
    load_manifest(text, file=MANIFEST_NAMES[0])
    if dry_run:
        screen.emit(text.encode())
    else:
        screen.show(f"{one_line(str(_write(folder, text, there)))}: written")
    for one in found:
        screen.say(f"{one.name}: {one_line(one.detection.because)}")
    for project, said in below.items():
        if said and not {one.name for one in said} <= {one.name for one in found}:
            words = ", ".join(one.name for one in said)
            screen.say(f"Not in it: {one_line(project)} ({words}). {_init_of(folder / project)}")
    if not dry_run:
        screen.say("Look through it, then type: glovebox run --local " + _argument(folder))


def _may_replace(there: Sequence[Path], *, force: bool) -> None:
    names = " and ".join(one_line(str(path)) for path in there)
    if len(there) > 1:
        message = f"there are {names} already, and one manifest would stay beside the new one"
        raise CommandFailure(message, code=ExitCode.USAGE, hint="Remove what is not needed.")
    if not force:
        hint = "--dry-run shows what would be written, --force writes it."
        raise CommandFailure(f"{names} is there already", code=ExitCode.USAGE, hint=hint)


def _write(folder: Path, text: str, there: Sequence[Path]) -> Path:
    """The manifest's place. An old one is replaced at once or not at all."""
    old = there[0] if there else None
    path = folder / MANIFEST_NAMES[0] if old is None or old.suffix == ".json" else old
    try:
        if old is None:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            return path
        with tempfile.NamedTemporaryFile("w", dir=folder, encoding="utf-8", delete=False) as made:
            made.write(text)
        new = Path(made.name)
        new.chmod(0o644)
        new.replace(path)
        if path != old:
            old.unlink()
    except OSError as error:
        message = f"{one_line(str(path))} cannot be written: {error.strerror}"
        raise CommandFailure(message, code=ExitCode.ERRORED) from error
    return path


def name_of(folder: Path) -> str:
    """A run's name for the folder."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name)
    return name.strip("-._")[:100] or "tests"


def manifest_text(name: str, found: Sequence[FoundFramework]) -> str:
    """A manifest with a suite for each framework, with the reasons as comments."""
    setup = list(dict.fromkeys(line for one in found for line in one.detection.setup))
    lines = ["# What a manifest can say more: docs/manifest.md, glovebox schema.", "version: 1"]
    lines += [f"name: {_scalar(name)}", "source: {path: .}"]
    if setup:
        lines += ["image:", "  # Before the first test, once, with network.", "  setup:"]
        lines += [f"    - {json.dumps(line)}" for line in setup]
    lines.append("suites:")
    for one in found:
        lines += [
            f"  # {one_line(one.detection.because)}",
            f"  - name: {_scalar(one.name.replace(':', '-'))}",
            f"    framework: {_scalar(one.name)}",
        ]
        if one.detection.paths:
            lines.append(f"    paths: {json.dumps(list(one.detection.paths))}")
    return "\n".join(lines) + "\n"


def _scalar(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS
    return text if plain else json.dumps(text)


def _argument(folder: Path) -> str:
    return one_line(shlex.quote(str(folder)))


def _init_of(folder: Path) -> str:
    return f"Its own manifest: glovebox init {_argument(folder)}"


def _nothing_found(folder: Path, projects: Sequence[str]) -> CommandFailure:
    message = f"nothing in {one_line(str(folder))} says how its tests are run"
    details = [_init_of(folder / project) for project in projects]
    known = ", ".join(name for name in FRAMEWORKS)
    hint = f"Write a glovebox.yml (docs/manifest.md shows one) with a framework: {known}."
    return CommandFailure(message, code=ExitCode.USAGE, details=details, hint=hint)

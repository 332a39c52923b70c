"""Which files of a folder make up the source that is sent."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.safe_text import one_line

LEFT_OUT_FOLDERS = frozenset(
    {
        ".git",
        ".hg",
        ".venv",
        "venv",
        "node_modules",
        "__pycache__",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
    }
)
"""Never sent from a folder that git does not look after."""
LEFT_OUT_SUFFIX = ".pyc"
_GIT_PLACES = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"})
_GIT_SECONDS = 120  # a cold, huge work tree on a slow disk


@dataclass
class Listing:
    """Relative paths to send, sorted, and what was left out for a reason worth telling."""

    names: list[str]
    warnings: list[str] = field(default_factory=list)


def list_source(folder: Path) -> Listing:
    """What git would know of the folder; where git does not look after it, all but caches."""
    if not folder.is_dir():
        message = f"the manifest's source.path is no folder: {one_line(str(folder))}"
        raise CommandFailure(message, code=ExitCode.USAGE, hint="Paths start at the manifest.")
    listing = Listing([])
    known = _git_files(folder, listing) if _in_work_tree(folder) else None
    # A folder that git ignores as a whole (a build output, say) is listed as empty by git.
    names = set(known or _walk(folder))
    real = folder.resolve()
    listing.names = sorted(name for name in names if _is_sendable(real, name, listing))
    if not listing.names:
        message = f"there are no files to send in {one_line(str(folder))}"
        raise CommandFailure(message, code=ExitCode.USAGE, hint="Look at source.path.")
    return listing


def _in_work_tree(folder: Path) -> bool:
    real = folder.resolve()
    return any((above / ".git").exists() for above in (real, *real.parents))


def _git_files(folder: Path, listing: Listing) -> list[str] | None:
    # fsmonitor is a program that a repository's own configuration may name: not for a listing.
    # In a hook, git's own variables point at the hook's repository, not at this folder.
    env = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    command = ["git", "-c", "core.fsmonitor=false", "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=env,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        listing.warnings.append("git is not installed, so files that it ignores are sent as well")
        return None
    except subprocess.TimeoutExpired as error:
        message = f"git did not list the source within {_GIT_SECONDS} s"
        raise CommandFailure(message, code=ExitCode.USAGE) from error
    if done.returncode != 0:
        # Going on without git would send what .gitignore keeps back, secrets among it.
        words = one_line(done.stderr.decode(errors="replace").strip())
        message = f"git cannot list the source: {words}"
        raise CommandFailure(message, code=ExitCode.USAGE, hint="Mend what git says, run again.")
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _walk(folder: Path) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        relative = os.path.relpath(root, folder)
        prefix = "" if relative == "." else f"{relative}/"
        links = [name for name in folders if Path(root, name).is_symlink()]
        folders[:] = sorted(n for n in folders if n not in LEFT_OUT_FOLDERS and n not in links)
        # A link to a folder is a link, to be sent as one; os.walk lists it among the folders.
        yield from (prefix + n for n in links if n not in LEFT_OUT_FOLDERS)
        yield from (prefix + n for n in files if not n.endswith(LEFT_OUT_SUFFIX))


def _is_sendable(real: Path, name: str, listing: Listing) -> bool:
    path = real / name
    if path.parent.resolve() != path.parent:
        return False  # git still knows it below a folder that has become a link
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False  # git still knows a file that was deleted
    if stat.S_ISREG(mode):
        return True
    shown = one_line(name)
    if stat.S_ISLNK(mode):
        if _stays_inside(real, path):
            return True
        listing.warnings.append(f"not sent: {shown} is a link that leads out of the source")
    elif stat.S_ISDIR(mode):
        listing.warnings.append(f"not sent: {shown} is a repository of its own (a submodule?)")
    else:
        listing.warnings.append(f"not sent: {shown} is neither a file, a folder nor a link")
    return False


def _stays_inside(real: Path, link: Path) -> bool:
    target = link.readlink()
    if target.is_absolute():
        return False
    # By its text too: what the link's folders really are does not survive the packing.
    textual = Path(os.path.normpath(link.parent / target))
    try:
        return textual.is_relative_to(real) and link.resolve().is_relative_to(real)
    except (OSError, RuntimeError):
        return False  # a loop

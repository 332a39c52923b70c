"""The source as one archive: the same files always make the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.safe_text import one_line
from glovebox_cli.source_listing import list_source

MAX_ARCHIVE_BYTES = 200 * 1024 * 1024
"""Of the packed archive; the service refuses a larger one."""
MAX_CONTENT_BYTES = 1024 * 1024 * 1024
"""Of the files together, unpacked; the service refuses more."""
MAX_FILES = 100_000
_COMPRESSION = 1  # the network is rarely slower than level 3's extra time
_IN_MEMORY_BYTES = 16 * 1024 * 1024  # larger archives go to an unnamed temporary file
_LARGEST_SHOWN = 3


@dataclass(frozen=True)
class Archive:
    """A packed source, open for reading from its start."""

    file: IO[bytes]
    sha256: str
    size: int
    files: int
    warnings: Sequence[str]


@contextmanager
def packed(folder: Path) -> Iterator[Archive]:
    """Pack a folder; the archive lives as long as the block."""
    listing = list_source(folder)
    real = folder.resolve()
    _check_size(real, listing.names)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spool:
        out = cast("BinaryIO", spool)
        _write(real, listing.names, out)
        size = out.tell()
        if size > MAX_ARCHIVE_BYTES:
            raise _too_large(real, listing.names, f"packs to {_mb(size)}", MAX_ARCHIVE_BYTES)
        out.seek(0)
        sha256 = _sha256(out)
        out.seek(0)
        yield Archive(out, sha256, size, len(listing.names), listing.warnings)


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(1024 * 1024):
        digest.update(chunk)
    return digest.hexdigest()


def _write(real: Path, names: Sequence[str], out: IO[bytes]) -> None:
    try:
        with (
            gzip.GzipFile("", "wb", compresslevel=_COMPRESSION, fileobj=out, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for name in names:
                _add(archive, real, name)
    except OSError as error:
        message = f"cannot pack the source: {one_line(str(error))}"
        raise CommandFailure(
            message, code=ExitCode.USAGE, hint="Was a file changed meanwhile? Run again."
        ) from error


def _add(archive: tarfile.TarFile, real: Path, name: str) -> None:
    path = real / name
    if path.is_symlink():
        member = _member(name, path.lstat())
        member.type = tarfile.SYMTYPE
        member.linkname = str(path.readlink())
        archive.addfile(member)
        return
    # A file that was swapped for a link or a pipe since it was listed must not be followed.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            reason = f"{name} is no longer a plain file"
            raise OSError(reason)
        member = _member(name, facts)
        member.size = facts.st_size
        archive.addfile(member, file)


def _member(name: str, facts: os.stat_result) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    # Kept, in whole seconds: Python compares a source's mtime with the one in its .pyc.
    member.mtime = max(0, int(facts.st_mtime))
    member.mode = 0o755 if facts.st_mode & stat.S_IXUSR else 0o644
    return member


def _check_size(real: Path, names: Sequence[str]) -> None:
    if len(names) > MAX_FILES:
        message = f"the source has {len(names)} files; the limit is {MAX_FILES}"
        raise CommandFailure(message, code=ExitCode.USAGE, hint=_LEAVE_OUT)
    total = sum(_size(real / name) for name in names)
    if total > MAX_CONTENT_BYTES:
        raise _too_large(real, names, f"is {_mb(total)}", MAX_CONTENT_BYTES)


_LEAVE_OUT = "Leave out what the tests do not need, with .gitignore or a narrower source.path."


def _too_large(real: Path, names: Sequence[str], what: str, limit: int) -> CommandFailure:
    largest = sorted(names, key=lambda name: (-_size(real / name), name))[:_LARGEST_SHOWN]
    return CommandFailure(
        f"the source {what}; the limit is {_mb(limit)}",
        code=ExitCode.USAGE,
        hint=_LEAVE_OUT,
        details=[f"{_mb(_size(real / name)):>10}  {one_line(name)}" for name in largest],
    )


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _mb(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"

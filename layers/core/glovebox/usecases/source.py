"""The source archive: checked and normalised before a sandbox sees it. It is untrusted."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping

from glovebox.domain.errors import SourceError

MAX_ARCHIVE_BYTES = 200 * 1024 * 1024
MAX_CONTENT_BYTES = 1024 * 1024 * 1024
"""Of all files together, unpacked: what a default sandbox's disk takes with room to work."""
MAX_MEMBERS = 100_000
MAX_NAME_BYTES = 1024
MAX_HEADER_BYTES = 1024 * 1024
"""Of what describes one member: real ones take some thousand bytes."""
LATEST_MTIME = 2**33 - 1
"""What a tar header holds, in seconds; a pax record may claim anything, infinity included."""
MAX_DEPTH = 100
"""Folders within folders; the tar filter itself recurses on path parts."""
PLAIN_BUNDLE_BYTES = 4 * 1024 * 1024
PREFIX = "src/"
"""Where the source lies below /workspace."""


def normalise_source(archive: bytes) -> bytes:
    """Repack a gzipped tar so that every member lies below `src/`, is owned by nobody in
    particular and is a plain file, folder or a symlink that stays inside.

    Counts what it unpacks, so a small archive of a huge content is refused while it is read.
    Raises SourceError, with the member's name, for anything else.
    """
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise SourceError(f"the source archive is larger than {MAX_ARCHIVE_BYTES} bytes")
    out = io.BytesIO()
    content = _Rationed(fileobj=io.BytesIO(archive), mode="rb")
    try:
        with (
            tarfile.open(fileobj=content, mode="r:") as given,
            tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as made,
        ):
            _copy(given, made, content)
        content.ration = MAX_CONTENT_BYTES
        while content.read(64 * 1024):
            pass  # the checksum stands at the end, behind the tar's own
    except (tarfile.TarError, EOFError, OSError, RecursionError, ValueError, zlib.error) as error:
        raise SourceError(f"the source is not a gzipped tar archive: {error}") from error
    return out.getvalue()


def make_bundle(prepared: bytes, compiled: bytes) -> bytes:
    """Two gzipped tars as one file for `tar -i`. Plain where small: every sandbox would unpack
    it again, which costs more than sending it, up to a few MiB."""
    parts = [part for part in (prepared, compiled) if part]
    plain = bytearray()
    try:
        for part in parts:
            with gzip.open(io.BytesIO(part)) as content:
                # Read to the limit and no further: the archives come out of sandboxes.
                plain += content.read(PLAIN_BUNDLE_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"the prepared source is damaged: {error}") from error
    return bytes(plain) if len(plain) <= PLAIN_BUNDLE_BYTES else b"".join(parts)


def archive_files(files: Mapping[str, str]) -> bytes:
    """The inline files of a manifest as a gzipped tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, text in sorted(files.items()):
            content = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


class _Rationed(gzip.GzipFile):
    """Hands out only so much between two members: tarfile reads long names, pax records and
    maps of sparse files whole, whatever size they state."""

    ration = MAX_HEADER_BYTES

    def read(self, size: int | None = -1) -> bytes:
        """Read on. Raises SourceError beyond the ration."""
        wanted = MAX_HEADER_BYTES if size is None or size < 0 else size
        if wanted > self.ration:
            raise SourceError(f"a header in the source archive exceeds {MAX_HEADER_BYTES} bytes")
        content = super().read(wanted)
        self.ration -= len(content)
        return content


def _copy(given: tarfile.TarFile, made: tarfile.TarFile, content: _Rationed) -> None:
    unpacked = 0
    names: set[str] = set()
    for count, member in enumerate(given):
        if count >= MAX_MEMBERS:
            raise SourceError(f"the source archive has more than {MAX_MEMBERS} members")
        unpacked += member.size
        if unpacked > MAX_CONTENT_BYTES:
            raise SourceError(f"the source archive unpacks to more than {MAX_CONTENT_BYTES} bytes")
        clean = _clean(member)
        if clean.name in names and not clean.isdir():
            raise SourceError(f"the source archive holds {member.name!r} twice")
        names.add(clean.name)
        content.ration = member.size + MAX_HEADER_BYTES
        made.addfile(clean, given.extractfile(member) if clean.isreg() else None)
        content.ration = MAX_HEADER_BYTES


def _clean(member: tarfile.TarInfo) -> tarfile.TarInfo:
    name = member.name
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES or name.count("/") > MAX_DEPTH:
        raise SourceError(f"a name in the source archive is too long: {name[:80]!r}…")
    if not (member.isreg() or member.isdir() or member.issym()) or member.sparse is not None:
        raise SourceError(f"{name!r} in the source archive is no plain file, folder or symlink")
    try:
        # Refuses absolute names, `..`, and links that lead out; strips odd modes.
        checked = tarfile.data_filter(member, "/glovebox-source")
    except (tarfile.FilterError, ValueError) as error:
        raise SourceError(f"{name!r} in the source archive is refused: {error}") from error
    clean = tarfile.TarInfo(PREFIX + checked.name.removeprefix("./").lstrip("/"))
    clean.type = tarfile.DIRTYPE if member.isdir() else member.type
    clean.size = member.size if member.isreg() else 0
    clean.linkname = member.linkname if member.issym() else ""
    # Whole seconds: Python compares a source's mtime with the one in its compiled module.
    clean.mtime = int(min(max(0, member.mtime), LATEST_MTIME))
    clean.mode = 0o755 if member.isdir() or (member.mode & 0o100) else 0o644
    return clean

"""The archives that builds copy from: bounded, kept without a name on disk, known by their digest.

A client announces an archive by a hash of its own making, which need not say anything about the
content (the SDK's does not for a folder). So the hash only finds the last archive that came under
it; what counts as "there already" is the SHA-256 of the archive itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from glovebox_local.sandbox.http import ApiError

LINK_SECONDS = 3600
_MAX_LINKS = 256
_MAX_ARCHIVES = 256
_MAX_KNOWN_HASHES = 1024
MAX_HASH_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Link:
    """A permission to upload one archive of an announced size."""

    token: str
    files_hash: str
    size: int
    expires: float


@dataclass(frozen=True, slots=True)
class Archive:
    """An uploaded archive, held open: it stays until it is closed, whatever else is uploaded."""

    digest: str
    """SHA-256 of the archive as it came."""
    descriptor: int
    size: int

    def reopened(self) -> int:
        """A descriptor of its own, at the beginning."""
        return os.open(f"/proc/self/fd/{self.descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


class Uploads:
    """Archives on disk in unnamed files, gone with the process; the oldest make room for new."""

    def __init__(self, max_archive_bytes: int, max_bytes: int) -> None:
        self.max_archive_bytes = min(max_archive_bytes, max_bytes)
        self._max_bytes = max_bytes
        self._archives: dict[str, Archive] = {}
        self._digests: dict[str, str] = {}
        self._links: dict[str, Link] = {}

    def has(self, files_hash: str) -> bool:
        """Whether an archive with this very SHA-256 is there."""
        return files_hash in self._archives

    def digest(self, files_hash: str) -> str | None:
        """The SHA-256 of the archive that a build means by a hash, None if it is not there."""
        digest = files_hash if self.has(files_hash) else self._digests.get(files_hash, "")
        return digest if digest in self._archives else None

    def open(self, digest: str) -> Archive:
        """An archive, for the caller to close. Raises ``KeyError`` if it is not there."""
        archive = self._archives[digest]
        return Archive(digest, archive.reopened(), archive.size)

    def announce(self, files_hash: str, size: int) -> Link:
        """A link for one upload."""
        now = time.monotonic()
        self._links = {t: link for t, link in self._links.items() if link.expires > now}
        while len(self._links) >= _MAX_LINKS:
            del self._links[next(iter(self._links))]
        link = Link(secrets.token_urlsafe(32), files_hash, size, now + LINK_SECONDS)
        self._links[link.token] = link
        return link

    async def receive(self, token: str, pieces: AsyncIterator[bytes]) -> str:
        """Take an archive; returns its SHA-256. A link serves once.

        Raises ``ApiError`` 403 for a link that is not one, 400 for another size than announced.
        """
        link = self._links.pop(token, None)
        if link is None or link.expires <= time.monotonic():
            raise ApiError(403, "UPLOAD_LINK_INVALID", "the upload link is used, expired or none")
        digest = hashlib.sha256()
        taken = 0
        with tempfile.TemporaryFile(prefix="glovebox-upload-") as file:
            async for piece in pieces:
                digest.update(piece)
                taken += len(piece)
                if taken > link.size:
                    break
                await asyncio.to_thread(file.write, piece)
            if taken != link.size:
                message = f"the archive must have the announced {link.size} bytes"
                raise ApiError(400, "INVALID_REQUEST", message)
            await asyncio.to_thread(file.flush)
            self._keep(digest.hexdigest(), os.dup(file.fileno()), taken)
        self._digests.pop(link.files_hash, None)
        self._digests[link.files_hash] = digest.hexdigest()
        while len(self._digests) > _MAX_KNOWN_HASHES:
            del self._digests[next(iter(self._digests))]
        return digest.hexdigest()

    def close(self) -> None:
        """Let go of all of them."""
        for archive in self._archives.values():
            archive.close()
        self._archives = {}

    def _keep(self, digest: str, descriptor: int, size: int) -> None:
        known = self._archives.pop(digest, None)
        if known is not None:
            known.close()
        while self._archives and (
            len(self._archives) >= _MAX_ARCHIVES or self._total() + size > self._max_bytes
        ):
            oldest = next(iter(self._archives))
            self._archives.pop(oldest).close()
        self._archives[digest] = Archive(digest, descriptor, size)

    def _total(self) -> int:
        return sum(archive.size for archive in self._archives.values())

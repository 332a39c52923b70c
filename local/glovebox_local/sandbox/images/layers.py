"""The files of built images: held in memory, attached nowhere, gone with the service.

Where the kernel and our rights allow it, a layer *is* the file system that the build wrote to, and
sandboxes see it copy-on-write. Elsewhere it is a tar that every sandbox unpacks for itself. The
server never looks into either: what a build leaves is as untrusted as the build.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from glovebox_local.sandbox import mounting
from glovebox_local.sandbox.images.site import Site, UnpackError
from glovebox_local.sandbox.keeper_link import SpawnError
from glovebox_local.sandbox.recipe import HOME

MAX_LAYERS = 12
"""How often an image may be built on another; bounded by what one packet carries."""

_BYTES_PER_FILE = 2048
_KERNEL_BYTES_PER_FILE = 1024


@dataclass(slots=True, eq=False)
class Content:
    """An image's files, shared by every image and sandbox that has them."""

    key: str
    """What it was built from, as a digest: equal keys are equal builds."""
    descriptors: tuple[int, ...]
    """File systems, the uppermost first, or one packed file."""
    places: tuple[str, ...]
    """Where its files go; nothing when it is packed (/workspace then)."""
    size_bytes: int
    base: Content | None = None
    """Whose files lie below these, if any; the first descriptor is this one's own."""
    users: int = 0
    closed: bool = False

    def retain(self) -> Content:
        """One more image uses it, or somebody who must not lose it now."""
        self.users += 1
        return self

    def release(self) -> None:
        """One image less uses it; after the last the files are gone.

        Sandboxes keep what they see, for the kernel counts them.
        """
        self.users -= 1
        if self.users:
            return
        self.closed = True
        os.close(self.descriptors[0])
        if self.base is not None:
            self.base.release()

    async def put_into(self, site: Site, size_bytes: int) -> None:
        """Give a fresh sandbox these files; it may change ``size_bytes`` of them.

        Raises ``SpawnError``.
        """
        if self.places:
            await site.keeper.dress(size_bytes, self.places, self.descriptors, None)
            return
        packed = os.open(f"/proc/self/fd/{self.descriptors[0]}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            await site.unpack(packed, HOME)
        except UnpackError as error:
            raise SpawnError(str(error)) from error
        finally:
            os.close(packed)


@cache
def can_share() -> bool:
    """Whether sandboxes can see an image copy-on-write here: as root, on Linux 6.15."""
    opened: list[int] = []
    try:
        tree = mounting.tmpfs(1024 * 1024)
        opened.append(tree)
        for name in ("lower", "upper", "work"):
            os.mkdir(name, dir_fd=tree)
            opened.append(os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=tree))
        opened.append(mounting.overlay([opened[1]], opened[2], opened[3]))
    except OSError:
        return False
    else:
        return True
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def new_layer(size_bytes: int) -> int:
    """A file system for a build to fill: bounded in bytes, and in files so that these count."""
    return mounting.tmpfs(size_bytes, max(1024, size_bytes // _BYTES_PER_FILE))


def used_bytes(descriptor: int) -> int:
    """How much memory a file system takes, with what the kernel keeps about each file."""
    found = os.statvfs(descriptor)
    files = found.f_files - found.f_ffree
    return (found.f_blocks - found.f_bfree) * found.f_frsize + files * _KERNEL_BYTES_PER_FILE


def places_with_files(descriptor: int, places: tuple[str, ...]) -> tuple[str, ...]:
    """Of a build's folders, those that it put something into; /workspace always."""
    found = []
    for place in places:
        folder = os.open(f"content{place}", os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        try:
            with os.scandir(folder) as entries:
                if place == HOME or next(entries, None) is not None:
                    found.append(place)
        finally:
            os.close(folder)
    return tuple(found)

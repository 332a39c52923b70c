"""The server's own folder on disk, and those that killed servers left: only ours, only the dead's.

A folder is named after its server's process id and start time, as control groups are, and locked
for as long as its server lives: in another container that shares it, the same numbers mean nothing.
Mounts of a root server are in a namespace that ended with it; what is mounted below a dead one's
folder all the same (an overlay of an ordinary user's, say) is taken down first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path

from glovebox_local.sandbox import cgroups, linux

_MOUNT_POINT = 4  # the field of /proc/self/mountinfo
_OCTAL = re.compile(rb"\\([0-7]{3})")

# Open for as long as this server has a folder.
_locks: list[int] = []


class UnsafePlaceError(RuntimeError):
    """The place of the folders belongs to somebody else, or is open to others."""


def base_folder() -> Path:
    """Where servers of this user have their folders; it may not be there yet.

    Raises ``UnsafePlaceError`` if somebody else made it, for the name can be guessed.
    """
    place = Path(tempfile.gettempdir()) / f"glovebox-sandboxes-{os.geteuid()}"
    try:
        found = place.lstat()
    except FileNotFoundError:
        return place
    private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    if not private or found.st_uid != os.geteuid():
        message = f"{place} is not a folder of this user alone; remove it"
        raise UnsafePlaceError(message)
    return place


def own_folder() -> Path:
    """This server's folder, made if it is not there; ``remove_own`` takes it away at the end."""
    base = base_folder()
    base.mkdir(mode=0o700, exist_ok=True)
    place = base_folder() / cgroups.folder_name(os.getpid())
    if not place.exists():
        place.mkdir(mode=0o700)
        _locks.append(_lock(place))
    return place


def remove_own() -> None:
    """Remove this server's folder, if it has one."""
    place = base_folder() / cgroups.folder_name(os.getpid())
    if place.exists():
        remove(place)
    while _locks:
        os.close(_locks.pop())


def sweep(base: Path) -> list[Path]:
    """Remove the folders of dead servers with all that is mounted in them; returns which."""
    swept = []
    for place in base.iterdir() if base.is_dir() else ():
        if place.name.startswith(cgroups.FOLDER_PREFIX) and not cgroups.is_alive(place.name):
            with contextlib.suppress(OSError):  # locked, or swept by another server meanwhile
                descriptor = _lock(place)
                remove(place)
                os.close(descriptor)
                swept.append(place)
    return swept


def _lock(place: Path) -> int:
    """A descriptor that holds the folder's lock until it is closed; ``OSError`` if another does."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove(place: Path) -> None:
    """Remove a folder with all that is in it and mounted in it."""
    for point in reversed(_mounted_below(place)):
        with contextlib.suppress(OSError):  # another server may sweep at the same time
            linux.unmount(point)
    # Not by Python: a sandbox may have left more levels than it can descend. Never into a mount.
    command = ["rm", "-rf", "--one-file-system", "--", str(place)]
    subprocess.run(command, check=False, stdin=subprocess.DEVNULL)


def _mounted_below(place: Path) -> list[str]:
    """Mount points in and below a folder, in the order of their making."""
    prefix = str(place)
    points = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        # Blanks and the like are written as \ooo.
        escaped = line.split()[_MOUNT_POINT]
        name = os.fsdecode(_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), escaped))
        if name == prefix or name.startswith(prefix + "/"):
            points.append(name)
    return points

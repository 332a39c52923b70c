"""Mounts that are made apart and put in place whole: Linux's newer mount calls, as we need them.

Small on purpose, as ``linux`` is: the spawner imports it. Every function raises ``OSError``. A
mount that these return is attached nowhere; it lives as long as its descriptor or what it was
built into.
"""

from __future__ import annotations

import ctypes
import os

from glovebox_local.sandbox import linux

# These numbers are the same on x86_64 and aarch64: they came after the tables were unified.
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_SYS_MOUNT_SETATTR = 442

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_CLOEXEC = 1
_FSCONFIG_SET_STRING = 1
_FSCONFIG_SET_FD = 5
_FSCONFIG_CMD_CREATE = 6
_ATTR_RDONLY = 0x1
_ATTR_NOSUID = 0x2
_ATTR_NODEV = 0x4
_ATTR_NOEXEC = 0x8
_ATTR_IDMAP = 0x10_0000
_SAFE = _ATTR_NOSUID | _ATTR_NODEV


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def tmpfs(size_bytes: int, files: int = 0) -> int:
    """A new file system in memory, of this size, whose root directory is root's.

    ``files`` bounds the number of files and folders, 0 leaves that to the machine's memory.
    """
    options = [("source", "image"), ("size", str(size_bytes)), ("mode", "755")]
    if files:
        options.append(("nr_inodes", str(files)))
    return _made("tmpfs", tuple(options), ())


def owned(tree: int, path: str, userns: int, *, writable: bool) -> int:
    """A view of a part of a mount in which the owner is another.

    What belongs to a user id as the user namespace ``userns`` has it inside (1000) belongs, in the
    view, to the host's user for it. Needs Linux 6.3 for a tmpfs.
    """
    wanted = _ATTR_IDMAP | _SAFE | (0 if writable else _ATTR_RDONLY)
    return _view(tree, path, _MountAttributes(set=wanted, userns_fd=userns))


def blank() -> int:
    """A view of /dev/null through which not even that can be reached: what it covers is denied.

    Needs Linux 5.12.
    """
    wanted = _SAFE | _ATTR_RDONLY | _ATTR_NOEXEC
    return _view(_AT_FDCWD, "/dev/null", _MountAttributes(set=wanted))


def _view(tree: int, path: str, attributes: _MountAttributes) -> int:
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (0 if path else _AT_EMPTY_PATH)
    view = linux.call(_SYS_OPEN_TREE, "open_tree", tree, path.encode(), flags)
    try:
        size = ctypes.sizeof(attributes)
        arguments = (view, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size)
        linux.call(_SYS_MOUNT_SETATTR, "mount_setattr", *arguments)
    except BaseException:
        os.close(view)
        raise
    return view


def overlay(lowers: list[int], upper: int, work: int) -> int:
    """A copy-on-write view of ``lowers``, the first uppermost, whose changes go to ``upper``.

    ``work`` is an empty directory beside ``upper``. Needs Linux 6.15 for parts that are attached
    nowhere.
    """
    # Redirects let a directory of the image be renamed; inode numbers stay when a file is copied.
    options = (("source", "image"), ("redirect_dir", "on"), ("xino", "on"))
    parts = [("lowerdir+", lower) for lower in lowers]
    return _made("overlay", options, (*parts, ("upperdir", upper), ("workdir", work)))


def merged(first: int, second: int) -> int:
    """A read-only view of two directories as one; a name in both is the first's."""
    return _made("overlay", (("source", "image"),), (("lowerdir+", first), ("lowerdir+", second)))


def attach(mount: int, target: str) -> None:
    """Put a mount in place, in the mount namespace that this process is in."""
    arguments = (mount, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH)
    linux.call(_SYS_MOVE_MOUNT, f"move_mount {target}", *arguments)


def _made(
    kind: str, options: tuple[tuple[str, str], ...], descriptors: tuple[tuple[str, int], ...]
) -> int:
    made = linux.call(_SYS_FSOPEN, f"fsopen {kind}", kind.encode(), _CLOEXEC)
    try:
        for key, value in options:
            _configure(made, kind, _FSCONFIG_SET_STRING, key, value, 0)
        for key, descriptor in descriptors:
            _configure(made, kind, _FSCONFIG_SET_FD, key, None, descriptor)
        _configure(made, kind, _FSCONFIG_CMD_CREATE, None, None, 0)
        return linux.call(_SYS_FSMOUNT, f"fsmount {kind}", made, _CLOEXEC, _SAFE)
    finally:
        os.close(made)


def _configure(
    made: int, kind: str, command: int, key: str | None, value: str | None, number: int
) -> None:
    words = (None if word is None else word.encode() for word in (key, value))
    linux.call(_SYS_FSCONFIG, f"{kind} {key or 'creation'}", made, command, *words, number)

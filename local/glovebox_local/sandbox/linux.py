"""The few Linux system calls that Python does not offer. Small on purpose: the spawner imports it.

Every function raises ``OSError`` with the kernel's errno, as the functions of ``os`` do.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import Any

CLONE_NEWNS = 0x0002_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
CONFINED = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
"""A name opened so names something inside the directory itself, whatever the sandbox planted."""

_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_TIOCSCTTY = 0x540E
_CAP_SYS_ADMIN = 21
# The number is the same on x86_64 and aarch64: it was added after the tables were unified.
_SYS_OPENAT2 = 437
_LINUX_CAPABILITY_VERSION_3 = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


# The signal and the parent of `die_with_parent`.
_dies_with: tuple[int, int] | None = None


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(number: int, what: str, *arguments: Any) -> int:
    """A system call by its number."""
    return _check(_syscall(number, *arguments), what)


def unshare(flags: int) -> None:
    """Move this process into new namespaces. Call it before any thread exists."""
    _check(_libc.unshare(flags), "unshare")


def setns(pidfd: int, flags: int) -> None:
    """Join several namespaces of another process in one call (Linux 5.8).

    One call, not one per namespace: joining the user namespace first would take away the rights
    over the namespaces that its parent owns, and joining it last is refused to an ordinary user.
    """
    _check(_libc.setns(pidfd, flags), "setns")


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    """Mount; empty strings stand for "none"."""
    result = _libc.mount(
        source.encode() or None,
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(result, f"mount {target}")


def detach_mounts(target: str) -> None:
    """Take a mount and all below it out of this process's view."""
    _check(_libc.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel to send this signal when the thread that started this process ends.

    The kernel forgets it with every change of identity; those of this module renew it.
    """
    global _dies_with  # noqa: PLW0603 - a property of the process
    _dies_with = (signal_number, os.getppid())
    _check(_prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def renew_death_signal() -> None:
    """Ask again for what ``die_with_parent`` asked for, after a change of identity."""
    if _dies_with is None:
        return
    number, parent = _dies_with
    _prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it ended just now, and nobody told us
        os.kill(os.getpid(), number)


def offer_to_oom_killer(score: int) -> None:
    """Have the kernel end this process sooner when memory is short: 0 (as others) to 1000."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(score).encode())
    finally:
        os.close(descriptor)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, in the place of process 1."""
    _check(_prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def take_terminal(descriptor: int) -> None:
    """Make a terminal the one that controls this session: job control, and its hang-up."""
    _check(_libc.ioctl(descriptor, ctypes.c_ulong(_TIOCSCTTY), 0), "ioctl(TIOCSCTTY)")


def no_new_privileges() -> None:
    """Give up, for this process and all it starts, ever to gain rights by running a program."""
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def drop_all_capabilities() -> None:
    """Empty every capability set, the bounding set included."""
    capability = 0
    # The kernel says where its list ends; a number past the end is refused.
    while _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = _CapHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    empty = (ctypes.c_uint32 * 6)()
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(empty)), "capset")


def install_seccomp(program: bytes) -> None:
    """Confine this process by a classic BPF program; needs ``no_new_privileges`` first."""
    code = ctypes.create_string_buffer(program, len(program))
    whole = _FilterProgram(len(program) // 8, ctypes.addressof(code))
    result = _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(whole), 0, 0)
    _check(result, "prctl(PR_SET_SECCOMP)")


def open_beneath(directory_fd: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open a name inside a directory that a sandbox controls, without ever being led out of it.

    A symbolic link anywhere in the path, a way out by ``..`` and another mount are refused with
    ELOOP or EXDEV, so the answer may be trusted on a directory that changes under our hands.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, CONFINED)
    result = _syscall(_SYS_OPENAT2, directory_fd, path, ctypes.byref(how), 24)
    return _check(result, "openat2")


def set_filesystem_identity(uid: int, gid: int) -> None:
    """Make file access by *this thread* count as another user's (its permissions, its files).

    Root loses the rights over foreign files until it sets the identity back to 0.
    """
    if uid == 0:
        _libc.setfsuid(0)
        _libc.setfsgid(0)
        renew_death_signal()
    else:
        _libc.setfsgid(gid)
        _libc.setfsuid(uid)


@contextlib.contextmanager
def privileged_as(uid: int) -> Iterator[None]:
    """Make this thread's files another user's, and keep every right of root meanwhile."""
    header = _CapHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(ctypes.byref(header), ctypes.byref(sets)), "capget")
    set_filesystem_identity(uid, uid)
    try:
        # The kernel took the rights over foreign files away with the identity.
        _check(_libc.capset(ctypes.byref(header), ctypes.byref(sets)), "capset")
        yield
    finally:
        set_filesystem_identity(0, 0)


def has_sys_admin() -> bool:
    """Whether this process may mount (root in a container often may not)."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no pathlib here
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False

"""The system call filter of every process in a sandbox, as a classic BPF program.

A deny-list: what a test suite has no use for and a kernel exploit or a spy has. Namespaces,
mounts and capabilities are refused by other means already; this is the second lock, and the only
one for keyrings, io_uring, vsock and their like. The table is x86_64's: ``build`` fails on other
machines rather than leave the lock open.
"""

from __future__ import annotations

import errno
import platform
import struct

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARG0, _OFFSET_ARG1 = 0, 4, 16, 24
_AUDIT_ARCH_X86_64 = 0xC000_003E
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
# x32 numbers carry this bit; they reach the same kernel code under names the table does not hold.
_X32_BIT = 0x4000_0000

_SOCKET, _IOCTL, _CLONE, _CLONE3 = 41, 16, 56, 435
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: vsock, packet, netlink and alg stay out
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # push characters into a terminal's input
_CLONE_NEW_ANYTHING = 0x7E02_0080

DENIED: dict[str, int] = {
    # spying on and steering other processes
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "process_madvise": 440,
    "pidfd_getfd": 438,
    "kcmp": 312,
    # mounts and namespaces
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "unshare": 272,
    "setns": 308,
    # wide, fast-moving kernel surface
    "bpf": 321,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "fanotify_init": 300,
    "lookup_dcookie": 212,
    "modify_ldt": 154,
    "personality": 135,
    "mbind": 237,
    "set_mempolicy": 238,
    "migrate_pages": 256,
    "move_pages": 279,
    # the host's keyrings, which no namespace divides
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    # files by handle, around the mount tree
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    # the machine itself
    "reboot": 169,
    "kexec_load": 246,
    "kexec_file_load": 320,
    "init_module": 175,
    "delete_module": 176,
    "finit_module": 313,
    "iopl": 172,
    "ioperm": 173,
    "swapon": 167,
    "swapoff": 168,
    "syslog": 103,
    "acct": 163,
    "quotactl": 179,
    "quotactl_fd": 443,
    "sethostname": 170,
    "setdomainname": 171,
    "settimeofday": 164,
    "adjtimex": 159,
    "clock_settime": 227,
    "clock_adjtime": 305,
    "vhangup": 153,
}


class UnsupportedMachineError(RuntimeError):
    """There is no system call table for this processor, so no filter can be built."""


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _refuse(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


def _denied() -> bytes:
    refusals = (
        _step(_JUMP_EQUAL, number, 0, 1) + _refuse(errno.EPERM)
        for number in sorted(DENIED.values())
    )
    # "Not implemented" makes libc fall back to clone, whose flags, unlike clone3's, can be seen.
    return b"".join(refusals) + _step(_JUMP_EQUAL, _CLONE3, 0, 1) + _refuse(errno.ENOSYS)


def _clone_without_namespaces() -> bytes:
    body = (
        _step(_LOAD, _OFFSET_ARG0)
        + _step(_JUMP_ANY_BIT, _CLONE_NEW_ANYTHING, 0, 1)
        + _refuse(errno.EPERM)
        + _step(_RETURN, _ALLOW)
    )
    return _step(_JUMP_EQUAL, _CLONE, 0, len(body) // 8) + body


def _known_socket_families() -> bytes:
    body = _step(_LOAD, _OFFSET_ARG0)
    for left, family in zip(range(len(_FAMILIES), 0, -1), _FAMILIES, strict=True):
        body += _step(_JUMP_EQUAL, family, left, 0)
    body += _refuse(errno.EAFNOSUPPORT) + _step(_RETURN, _ALLOW)
    return _step(_JUMP_EQUAL, _SOCKET, 0, len(body) // 8) + body


def _terminal_ioctls() -> bytes:
    body = (
        _step(_LOAD, _OFFSET_ARG1)
        + _step(_JUMP_EQUAL, _TIOCSTI, 1, 0)
        + _step(_JUMP_EQUAL, _TIOCLINUX, 0, 1)
        + _refuse(errno.EPERM)
        + _step(_RETURN, _ALLOW)
    )
    return _step(_JUMP_EQUAL, _IOCTL, 0, len(body) // 8) + body


def build(machine: str | None = None) -> bytes:
    """The filter as the kernel takes it: 8 bytes an instruction.

    Raises ``UnsupportedMachineError`` on anything but x86_64.
    """
    machine = machine or platform.machine()
    if machine != "x86_64":
        message = f"no system call filter for {machine}: sandboxes need an x86_64 machine"
        raise UnsupportedMachineError(message)
    return (
        _step(_LOAD, _OFFSET_ARCH)
        + _step(_JUMP_EQUAL, _AUDIT_ARCH_X86_64, 1, 0)
        + _step(_RETURN, _KILL_PROCESS)
        + _step(_LOAD, _OFFSET_NUMBER)
        + _step(_JUMP_GREATER_EQUAL, _X32_BIT, 0, 1)
        + _refuse(errno.ENOSYS)
        + _denied()
        + _clone_without_namespaces()
        + _known_socket_families()
        + _terminal_ioctls()
        + _step(_RETURN, _ALLOW)
    )

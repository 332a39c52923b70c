"""The system call filter of every process in a sandbox, as a classic BPF program.

A deny-list: what a test suite has no use for and a kernel exploit or a spy has. Namespaces,
mounts and capabilities are refused by other means already; this is the second lock, and the only
one for keyrings, io_uring, vsock and their like. Where there is no table of a processor's calls,
``build`` fails rather than leave the lock open.
"""

from __future__ import annotations

import errno
import platform
import struct

from glovebox_local.sandbox.system_calls import TABLES, Table

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARG0, _OFFSET_ARG1 = 0, 4, 16, 24
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
# x32 numbers carry this bit; they reach the same kernel code under names the table does not hold.
_X32_BIT = 0x4000_0000

_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: vsock, packet, netlink and alg stay out
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # push characters into a terminal's input
_CLONE_NEW_ANYTHING = 0x7E02_0080


class UnsupportedMachineError(RuntimeError):
    """There is no system call table for this processor, so no filter can be built."""


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _refuse(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


def _denied(table: Table) -> bytes:
    refusals = (
        _step(_JUMP_EQUAL, number, 0, 1) + _refuse(errno.EPERM)
        for number in sorted(table.denied.values())
    )
    # "Not implemented" makes libc fall back to clone, whose flags, unlike clone3's, can be seen.
    return b"".join(refusals) + _step(_JUMP_EQUAL, table.clone3, 0, 1) + _refuse(errno.ENOSYS)


def _clone_without_namespaces(table: Table) -> bytes:
    body = (
        _step(_LOAD, _OFFSET_ARG0)
        + _step(_JUMP_ANY_BIT, _CLONE_NEW_ANYTHING, 0, 1)
        + _refuse(errno.EPERM)
        + _step(_RETURN, _ALLOW)
    )
    return _step(_JUMP_EQUAL, table.clone, 0, len(body) // 8) + body


def _known_socket_families(table: Table) -> bytes:
    body = _step(_LOAD, _OFFSET_ARG0)
    for left, family in zip(range(len(_FAMILIES), 0, -1), _FAMILIES, strict=True):
        body += _step(_JUMP_EQUAL, family, left, 0)
    body += _refuse(errno.EAFNOSUPPORT) + _step(_RETURN, _ALLOW)
    return _step(_JUMP_EQUAL, table.socket, 0, len(body) // 8) + body


def _terminal_ioctls(table: Table) -> bytes:
    body = (
        _step(_LOAD, _OFFSET_ARG1)
        + _step(_JUMP_EQUAL, _TIOCSTI, 1, 0)
        + _step(_JUMP_EQUAL, _TIOCLINUX, 0, 1)
        + _refuse(errno.EPERM)
        + _step(_RETURN, _ALLOW)
    )
    return _step(_JUMP_EQUAL, table.ioctl, 0, len(body) // 8) + body


def missing_table() -> str | None:
    """The name of this machine's processor if there is no table of its system calls."""
    machine = platform.machine()
    return None if machine in TABLES else machine


def build(machine: str | None = None) -> bytes:
    """The filter as the kernel takes it: 8 bytes an instruction; for this machine by default.

    Raises ``UnsupportedMachineError`` where there is no table.
    """
    machine = machine or platform.machine()
    table = TABLES.get(machine)
    if table is None:
        known = " and ".join(TABLES)
        message = (
            f"no system call filter for {machine}, only for {known}; "
            "--without-filter starts without one"
        )
        raise UnsupportedMachineError(message)
    return (
        _step(_LOAD, _OFFSET_ARCH)
        + _step(_JUMP_EQUAL, table.architecture, 1, 0)
        + _step(_RETURN, _KILL_PROCESS)
        + _step(_LOAD, _OFFSET_NUMBER)
        + _step(_JUMP_GREATER_EQUAL, _X32_BIT, 0, 1)
        + _refuse(errno.ENOSYS)
        + _denied(table)
        + _clone_without_namespaces(table)
        + _known_socket_families(table)
        + _terminal_ioctls(table)
        + _step(_RETURN, _ALLOW)
    )

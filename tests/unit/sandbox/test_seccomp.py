"""The filter, run by a small interpreter of the four instructions that it uses."""

from __future__ import annotations

import errno
import struct

import pytest
from glovebox_local.sandbox import seccomp

X86_64 = 0xC000003E
I386 = 0x40000003
ALLOWED = 0x7FFF0000
KILLED = 0x80000000


def verdict(number: int, *arguments: int, architecture: int = X86_64) -> int:
    given = [*arguments, 0, 0][:2]
    data = {0: number, 4: architecture, 16: given[0] & 0xFFFFFFFF, 24: given[1] & 0xFFFFFFFF}
    program = list(struct.iter_unpack("<HBBI", seccomp.build("x86_64")))
    position = loaded = 0
    while True:
        code, if_true, if_false, value = program[position]
        position += 1
        match code:
            case 0x20:
                loaded = data[value]
            case 0x15:
                position += if_true if loaded == value else if_false
            case 0x35:
                position += if_true if loaded >= value else if_false
            case 0x45:
                position += if_true if loaded & value else if_false
            case 0x06:
                return int(value)


def refused(number: int) -> int:
    return 0x00050000 | number


@pytest.mark.parametrize("name", sorted(seccomp.DENIED))
def test_every_listed_call_is_refused(name: str) -> None:
    assert verdict(seccomp.DENIED[name]) == refused(errno.EPERM)


@pytest.mark.parametrize("number", [0, 1, 2, 9, 57, 58, 59, 60, 61, 62, 202, 231, 257, 262, 332])
def test_everyday_calls_are_allowed(number: int) -> None:
    assert verdict(number) == ALLOWED


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (1, ALLOWED),
        (2, ALLOWED),
        (10, ALLOWED),
        *((family, refused(errno.EAFNOSUPPORT)) for family in (0, 3, 16, 17, 38, 40, 44)),
    ],
)
def test_only_three_socket_families_exist(family: int, expected: int) -> None:
    assert verdict(41, family) == expected


def test_threads_and_forks_are_allowed_and_new_namespaces_are_not() -> None:
    assert verdict(56, 0x3D0F00) == ALLOWED  # a thread, as glibc makes it
    assert verdict(56, 17) == ALLOWED
    for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x4000000, 0x8000000, 0x80):
        assert verdict(56, flag | 17) == refused(errno.EPERM)
    assert verdict(435) == refused(errno.ENOSYS)


def test_terminals_take_no_typed_input() -> None:
    assert verdict(16, 0, 0x5412) == refused(errno.EPERM)
    assert verdict(16, 0, 0x541C) == refused(errno.EPERM)
    assert verdict(16, 0, 0x5401) == ALLOWED


def test_other_tables_are_shut() -> None:
    assert verdict(0x40000000 | 1) == refused(errno.ENOSYS)
    assert verdict(4, architecture=I386) == KILLED


def test_an_unknown_machine_gets_no_filter_rather_than_an_open_one() -> None:
    with pytest.raises(seccomp.UnsupportedMachineError, match="aarch64"):
        seccomp.build("aarch64")

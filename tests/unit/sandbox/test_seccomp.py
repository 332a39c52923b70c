"""The filter, run by a small interpreter of the four instructions that it uses."""

from __future__ import annotations

import errno
import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from glovebox_local.sandbox import seccomp
from glovebox_local.sandbox.isolation import reach
from glovebox_local.sandbox.service import system_call_filter
from glovebox_local.sandbox.settings import SandboxSettings
from glovebox_local.sandbox.system_calls import TABLES

X86_64 = 0xC000003E
I386 = 0x40000003
ALLOWED = 0x7FFF0000
KILLED = 0x80000000


def verdict(
    number: int, *arguments: int, architecture: int = X86_64, machine: str = "x86_64"
) -> int:
    given = [*arguments, 0, 0][:2]
    data = {0: number, 4: architecture, 16: given[0] & 0xFFFFFFFF, 24: given[1] & 0xFFFFFFFF}
    program = list(struct.iter_unpack("<HBBI", seccomp.build(machine)))
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


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_listed_call_is_refused(machine: str) -> None:
    table = TABLES[machine]
    for name, number in table.denied.items():
        found = verdict(number, architecture=table.architecture, machine=machine)
        assert found == refused(errno.EPERM), name


ARM = {"architecture": 0xC000_00B7, "machine": "aarch64"}


def test_the_other_processors_filter_is_as_strict() -> None:
    allow = {63: "read", 56: "openat", 221: "execve", 93: "exit", 222: "mmap", 260: "wait4"}
    assert {verdict(number, **ARM) for number in allow} == {ALLOWED}  # type: ignore[arg-type]
    assert verdict(198, 40, **ARM) == refused(errno.EAFNOSUPPORT)  # type: ignore[arg-type]
    assert verdict(198, 2, **ARM) == ALLOWED  # type: ignore[arg-type]
    assert verdict(220, 0x1000_0011, **ARM) == refused(errno.EPERM)  # type: ignore[arg-type]
    assert verdict(220, 0x3D0F00, **ARM) == ALLOWED  # type: ignore[arg-type]
    assert verdict(435, **ARM) == refused(errno.ENOSYS)  # type: ignore[arg-type]
    assert verdict(29, 0, 0x5412, **ARM) == refused(errno.EPERM)  # type: ignore[arg-type]
    assert verdict(63, machine="aarch64", architecture=X86_64) == KILLED


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_the_numbers_are_the_kernels_own(machine: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    text = Path(header).read_text(encoding="utf-8")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
    table = TABLES[machine]
    looked_into = {name: getattr(table, name) for name in ("socket", "ioctl", "clone", "clone3")}
    # A header may be older than the newest of the calls.
    ours = {name: n for name, n in (table.denied | looked_into).items() if name in known}
    assert ours == {name: int(known[name]) for name in ours}
    assert len(ours) > 45


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
    with pytest.raises(seccomp.UnsupportedMachineError, match="riscv64"):
        seccomp.build("riscv64")


def test_a_machine_without_a_filter_must_be_told_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    settings = SandboxSettings(api_key="k")
    with pytest.raises(seccomp.UnsupportedMachineError, match="--without-filter"):
        system_call_filter(settings)
    assert system_call_filter(replace(settings, without_filter=True)) == b""
    lacking = reach(settings, root=False).not_enforced
    assert any("filter (none for riscv64)" in reason for reason in lacking)


def test_where_there_is_a_filter_nobody_goes_without() -> None:
    settings = SandboxSettings(api_key="k", without_filter=True)
    assert system_call_filter(settings) == seccomp.build()

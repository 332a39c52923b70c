"""Version 2's freezer on the real kernel; it is there even where its controllers are not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from glovebox_local.sandbox.cgroups import Cgroups, Limits

from tests.integration.sandbox.client import eventually

UNUSED = Limits(memory_bytes=1, pids=1, cpus=1)


def unified() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    return None


@pytest.fixture
def group() -> Iterator[tuple[Cgroups, Path]]:
    tree = unified()
    if tree is None or not os.access(tree, os.W_OK) or os.geteuid() != 0:
        pytest.skip("no tree of version 2 that this user may write to")
    parent = tree / f"glovebox-test-{os.getpid()}"
    place = parent / "sandbox-0"
    place.mkdir(parents=True)
    groups = Cgroups(2, dict.fromkeys(("memory", "pids", "cpu"), str(parent)), UNUSED)
    yield groups, place
    groups.remove_all()
    assert not parent.exists()


@pytest.fixture
def spinner(group: tuple[Cgroups, Path]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    (group[1] / "cgroup.procs").write_text(str(process.pid))
    yield process
    process.kill()
    process.wait()


def ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[13])


def test_the_frozen_stand_still_and_the_thawed_go_on(
    group: tuple[Cgroups, Path], spinner: subprocess.Popen[bytes]
) -> None:
    groups, _ = group
    assert groups.processes("sandbox-0") == [spinner.pid]
    assert eventually(lambda: ticks(spinner.pid) > 0)
    assert not groups.is_frozen("sandbox-0")
    groups.freeze("sandbox-0")
    assert eventually(lambda: groups.is_frozen("sandbox-0"))
    before = ticks(spinner.pid)
    assert not eventually(lambda: ticks(spinner.pid) > before, seconds=0.3)
    groups.thaw("sandbox-0")
    assert eventually(lambda: ticks(spinner.pid) > before)


def test_the_frozen_are_killed_with_their_group(
    group: tuple[Cgroups, Path], spinner: subprocess.Popen[bytes]
) -> None:
    groups, place = group
    groups.freeze("sandbox-0")
    assert eventually(lambda: groups.is_frozen("sandbox-0"))
    groups.remove_all()
    assert spinner.wait(5) == -signal.SIGKILL
    groups.remove_all()
    assert not place.exists()

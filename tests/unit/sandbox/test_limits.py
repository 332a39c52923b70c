from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from glovebox_local.sandbox.cgroups import Cgroups, Limits
from glovebox_local.sandbox.limits import LimitWatch

SOME = Limits(memory_bytes=1, pids=1, cpus=1)


class Counted:
    """A sandbox's counters as the kernel shows them, in plain files."""

    def __init__(self, folder: Path, version: int) -> None:
        parents = dict.fromkeys(("memory", "pids", "cpu"), str(folder))
        (folder / "one").mkdir()
        files = Cgroups(version, parents, SOME).counter_files("one")
        self._memory, self._pids = (Path(file) for file, _ in files)
        self.set(0, 0)
        self.watch = LimitWatch(files)

    def set(self, memory_kills: int, refused_forks: int) -> None:
        self._memory.write_text(f"under_oom 0\noom 9\noom_kill {memory_kills}\n")
        self._pids.write_text(f"max {refused_forks}\n")


@pytest.fixture(params=[1, 2])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counted]:
    made = Counted(tmp_path, request.param)
    yield made
    made.watch.close()


def test_what_was_counted_while_a_command_ran_is_its_reason(counted: Counted) -> None:
    before = counted.watch.mark()
    assert counted.watch.hit_since(before, 1) == []
    counted.set(1, 0)
    assert counted.watch.hit_since(before, 137) == ["oom"]
    counted.set(1, 300)
    assert counted.watch.hit_since(before, 1) == ["oom", "pids"]


def test_what_was_counted_before_is_not(counted: Counted) -> None:
    counted.watch.mark()
    counted.set(2, 5)
    before = counted.watch.mark()
    assert counted.watch.hit_since(before, 137) == []
    assert counted.watch.hit_ever() == ["oom", "pids"]


def test_the_first_command_costs_no_look(counted: Counted) -> None:
    opened = psutil.Process().num_fds()
    counted.watch.mark()
    assert psutil.Process().num_fds() == opened


def test_what_was_hit_stays_known_when_the_counters_are_gone(counted: Counted) -> None:
    counted.set(1, 0)
    assert counted.watch.hit_ever() == ["oom"]
    counted.watch.close()
    assert counted.watch.hit_ever() == ["oom"]
    assert counted.watch.hit_since(counted.watch.mark(), 1) == []


def test_without_groups_only_the_disk_is_known(tmp_path: Path) -> None:
    watch = LimitWatch()
    assert watch.hit_since(watch.mark(), 137) == []
    assert watch.hit_since(watch.mark(), 128 + 25) == ["disk"]

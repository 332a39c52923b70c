from __future__ import annotations

import os
from pathlib import Path

import pytest
from glovebox_local.sandbox import cgroups

LIMITS = cgroups.Limits(memory_bytes=1 << 20, pids=10, cpus=1.5)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (1, {"memory.limit_in_bytes": "1048576", "pids.max": "11", "cpu.cfs_quota_us": "150000"}),
        (2, {"memory.max": "1048576", "pids.max": "11", "cpu.max": "150000 100000"}),
    ],
)
def test_limits_are_written_as_each_version_has_them(
    version: int, expected: dict[str, str]
) -> None:
    written = {file: value for _, file, value in LIMITS.settings(version)}
    assert expected.items() <= written.items()


def test_a_sandbox_has_one_folder_per_tree(tmp_path: Path) -> None:
    folder = str(tmp_path)
    groups = cgroups.Cgroups(2, dict.fromkeys(("memory", "pids", "cpu"), folder), LIMITS)
    assert set(groups.folders("one").values()) == {f"{folder}/one"}


def test_only_folders_of_dead_servers_are_swept(tmp_path: Path) -> None:
    alive = cgroups.folder_name(os.getpid())
    reused = f"glovebox-{os.getpid()}-1"
    dead = "glovebox-4194303-5"
    others = ("other-4194303-5", "glovebox", "glovebox-x-5", "system.slice")
    for name in (alive, reused, dead, *others):
        (tmp_path / name).mkdir()
    (tmp_path / dead / "sandbox-1").mkdir()
    (tmp_path / "other-4194303-5" / "kept").mkdir()
    cgroups.sweep(str(tmp_path))
    left = {folder.name for folder in tmp_path.iterdir()}
    assert {alive, "other-4194303-5", "system.slice"} <= left
    assert not {reused, dead} & left

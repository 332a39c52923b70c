from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from glovebox_local.sandbox import cgroup_trees, cgroups

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
    cgroup_trees.sweep(str(tmp_path))
    left = {folder.name for folder in tmp_path.iterdir()}
    assert {alive, "other-4194303-5", "system.slice"} <= left
    assert not {reused, dead} & left


@pytest.mark.parametrize(
    ("version", "file", "frozen", "thawed"),
    [(1, "freezer.state", "FROZEN", "THAWED"), (2, "cgroup.freeze", "1", "0")],
)
def test_a_sandbox_is_frozen_and_thawed_as_each_version_has_it(
    tmp_path: Path, version: int, file: str, frozen: str, thawed: str
) -> None:
    place = tmp_path / "one"
    place.mkdir()
    (place / file).touch()
    parents = dict.fromkeys(("memory", "pids", "cpu", "freezer"), str(tmp_path))
    groups = cgroups.Cgroups(version, parents, LIMITS)
    groups.freeze("one")
    assert (place / file).read_text() == frozen
    (place / file).write_text("")
    groups.thaw("one")
    assert (place / file).read_text() == thawed
    groups.thaw("gone")
    with pytest.raises(FileNotFoundError):
        groups.freeze("gone")


@pytest.mark.parametrize(
    ("version", "file", "still", "not_yet"),
    [
        (1, "freezer.state", "FROZEN\n", "FREEZING\n"),
        (2, "cgroup.events", "populated 1\nfrozen 1\n", "populated 1\nfrozen 0\n"),
    ],
)
def test_a_sandbox_is_frozen_once_all_of_it_stands_still(
    tmp_path: Path, version: int, file: str, still: str, not_yet: str
) -> None:
    (tmp_path / "one").mkdir()
    parents = dict.fromkeys(("memory", "pids", "cpu", "freezer"), str(tmp_path))
    groups = cgroups.Cgroups(version, parents, LIMITS)
    for text, expected in ((not_yet, False), (still, True)):
        (tmp_path / "one" / file).write_text(text)
        assert groups.is_frozen("one") is expected


def test_version_1_freezes_only_where_it_has_the_controller() -> None:
    parents = dict.fromkeys(("memory", "pids", "cpu"), "/nowhere")
    assert not cgroups.Cgroups(1, parents, LIMITS).can_freeze
    assert cgroups.Cgroups(1, parents | {"freezer": "/nowhere"}, LIMITS).can_freeze
    assert cgroups.Cgroups(2, parents, LIMITS).can_freeze


class Tree:
    """A tree of version 2 in plain folders, where some groups hold processes and so refuse."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch, *, busy: set[str]) -> None:
        self.top = top
        self._busy = {str(top / name) for name in busy}
        monkeypatch.setattr(cgroup_trees, "write", self._write)
        self.told: list[str] = []

    def _write(self, path: str, value: str) -> None:
        place = path.rpartition("/")[0]
        if place in self._busy:
            raise OSError(errno.EBUSY, "Device or resource busy", path)
        assert value == "+memory +pids +cpu"
        assert Path(place).is_dir()
        self.told.append(place)


def test_version_2_makes_its_folder_in_the_nearest_group_that_may_hand_controllers_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slice" / "scope").mkdir(parents=True)
    tree = Tree(tmp_path, monkeypatch, busy={"slice/scope"})
    groups = [str(tmp_path / name) for name in ("slice/scope", "slice", "")]
    folder = cgroup_trees._delegated(groups, "glovebox-1-1")
    assert folder == str(tmp_path / "slice" / "glovebox-1-1")
    assert tree.told == [str(tmp_path / "slice"), folder]
    assert list((tmp_path / "slice" / "scope").iterdir()) == []


def test_version_2_says_why_the_nearest_group_may_not_if_none_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scope").mkdir()
    Tree(tmp_path, monkeypatch, busy={"scope", "scope/.."})
    with pytest.raises(OSError, match="busy") as refused:
        cgroup_trees._delegated([str(tmp_path / "scope")], "glovebox-1-1")
    assert refused.value.filename == str(tmp_path / "scope" / "cgroup.subtree_control")
    assert list((tmp_path / "scope").iterdir()) == []

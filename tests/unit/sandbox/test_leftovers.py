from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from glovebox_local.sandbox import cgroups, leftovers, linux

DEAD = "glovebox-4194303-5"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return leftovers.base_folder()


def test_only_folders_of_dead_servers_are_removed(tmp_path: Path) -> None:
    alive = cgroups.folder_name(os.getpid())
    reused = f"glovebox-{os.getpid()}-1"
    kept = (alive, "other-4194303-5", "glovebox", "notes")
    for name in (*kept, reused, DEAD):
        (tmp_path / name / "inner").mkdir(parents=True)
    assert {path.name for path in leftovers.sweep(tmp_path)} == {reused, DEAD}
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


def test_a_link_in_a_dead_servers_place_is_not_followed(tmp_path: Path) -> None:
    base, elsewhere = tmp_path / "base", tmp_path / "elsewhere"
    for folder in (base / DEAD, elsewhere):
        folder.mkdir(parents=True)
    (elsewhere / "kept").touch()
    (base / "glovebox-4194303-6").symlink_to(elsewhere)
    (base / DEAD / "link").symlink_to(elsewhere)
    leftovers.sweep(base)
    # Nor is it ours: servers make folders.
    assert [path.name for path in base.iterdir()] == ["glovebox-4194303-6"]
    assert (elsewhere / "kept").exists()


def test_a_tree_deeper_than_python_descends_is_removed(tmp_path: Path) -> None:
    place = tmp_path / DEAD
    place.mkdir()
    above = os.open(place, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=above)
        below = os.open("d", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    leftovers.sweep(tmp_path)
    assert not place.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_what_is_mounted_in_it_is_taken_down_first(tmp_path: Path) -> None:
    outer = tmp_path / DEAD / "with a blank"
    outer.mkdir(parents=True)
    linux.mount("tmpfs", str(outer), "tmpfs", 0, "size=64k")
    (outer / "inner").mkdir()
    linux.mount("tmpfs", str(outer / "inner"), "tmpfs", 0, "size=64k")
    leftovers.sweep(tmp_path)
    assert not (tmp_path / DEAD).exists()
    assert DEAD not in Path("/proc/self/mountinfo").read_text()


def test_a_server_has_a_folder_of_its_own_for_as_long_as_it_wants(base: Path) -> None:
    own = leftovers.own_folder()
    assert own == leftovers.own_folder()
    (own / "something").touch()
    assert leftovers.sweep(base) == []
    assert own.stat().st_mode & 0o777 == 0o700
    leftovers.remove_own()
    assert not own.exists()
    leftovers.remove_own()


def test_a_server_that_another_container_runs_is_not_swept(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = leftovers.own_folder()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(cgroups, "is_alive", lambda _: False)
        assert leftovers.sweep(base) == []
    leftovers.remove_own()
    assert not own.exists()


def test_a_killed_servers_folder_is_swept(base: Path) -> None:
    program = (
        "import os, signal, sys, tempfile\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "from glovebox_local.sandbox import leftovers\n"
        "leftovers.own_folder()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(base.parent)]
    subprocess.run(command, check=False)
    (left,) = base.iterdir()
    assert leftovers.sweep(base) == [left]
    assert not left.exists()


def test_a_place_that_others_may_enter_is_not_used(base: Path) -> None:
    base.mkdir(mode=0o755)
    with pytest.raises(leftovers.UnsafePlaceError, match="not a folder of this user alone"):
        leftovers.own_folder()


def test_a_place_that_leads_elsewhere_is_not_used(base: Path, tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir(mode=0o700)
    base.symlink_to(tmp_path / "trap")
    with pytest.raises(leftovers.UnsafePlaceError):
        leftovers.own_folder()

"""The archive that is sent: which files, in which form, and what is refused."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from glovebox_cli import packing
from glovebox_cli.failure import CommandFailure
from glovebox_cli.packing import packed
from glovebox_cli.source_listing import LEFT_OUT_FOLDERS, list_source


def git(folder: Path, *args: str) -> None:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", *args]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def members(folder: Path) -> list[tarfile.TarInfo]:
    with packed(folder) as archive, tarfile.open(fileobj=archive.file, mode="r:gz") as tar:
        return tar.getmembers()


def test_git_decides_in_a_work_tree(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "kept.py", "new.py", "gone.py", "sub/x.py", "secret.env", "build/out.o")
    (tmp_path / ".gitignore").write_text("*.env\nbuild/\n")
    git(tmp_path, "add", "kept.py", "gone.py")
    git(tmp_path, "commit", "-q", "-m", "x")
    (tmp_path / "gone.py").unlink()
    assert list_source(tmp_path).names == [".gitignore", "kept.py", "new.py", "sub/x.py"]
    assert list_source(tmp_path / "sub").names == ["x.py"]
    assert list_source(tmp_path / "build").names == ["out.o"], "ignored as a whole: all of it"


def test_a_tracked_folder_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    write(folder, "a.py", "deep/b.py")
    write(tmp_path, "outside/b.py")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    (folder / "deep/b.py").unlink()
    (folder / "deep").rmdir()
    (folder / "deep").symlink_to("../outside")
    assert list_source(folder).names == ["a.py"]


def test_a_hooks_variables_do_not_lead_git_astray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "here/a.py", "there/b.py")
    for name in ("here", "there"):
        git(tmp_path / name, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "there/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "there"))
    assert list_source(tmp_path / "here").names == ["a.py"]


def test_without_git_all_but_caches_is_sent(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "a.pyc", ".hidden", "deep/b.py")
    write(tmp_path, *(f"{folder}/x" for folder in LEFT_OUT_FOLDERS - {".git"}))
    write(tmp_path, *(f"deep/{folder}/x" for folder in LEFT_OUT_FOLDERS - {".git"}))
    assert list_source(tmp_path).names == [".hidden", "a.py", "deep/b.py"]


def test_git_that_refuses_is_not_gone_around(tmp_path: Path) -> None:
    write(tmp_path, ".git/config", "secret.env", "a.py")
    with pytest.raises(CommandFailure, match="git cannot list the source") as caught:
        list_source(tmp_path)
    assert caught.value.code == 2


def test_without_git_installed_the_user_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "a.py")
    monkeypatch.setenv("PATH", "")
    listing = list_source(tmp_path)
    assert listing.names == ["a.py"]
    assert "git is not installed" in listing.warnings[0]


@pytest.mark.parametrize("in_git", [True, False])
def test_links_that_lead_out_and_special_files_stay_behind(tmp_path: Path, in_git: bool) -> None:
    folder = tmp_path / "src"
    write(folder, "a.py", "deep/b.py")
    write(tmp_path, "outside.txt")
    if in_git:
        git(folder, "init", "-q")
    links = {
        "in": "a.py",
        "in_folder": "deep",
        "deep/up": "../a.py",
        "dangling": "nowhere",
        "out": "../outside.txt",
        "out_folder": "..",
        "absolute": str(folder / "a.py"),
        "loop": "loop",
        "round": "deep/../../src/a.py",
        "far": "in_folder/../../outside.txt",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    listing = list_source(folder)
    kept = {"a.py", "deep/b.py", "in", "in_folder", "deep/up", "dangling", "round"}
    assert set(listing.names) == kept
    told = " ".join(listing.warnings)
    for name in ("out", "out_folder", "absolute", "loop", "far"):
        assert f"not sent: {name} is a link" in told
    if not in_git:  # git does not even mention one
        assert "not sent: pipe is neither" in told
    found = {member.name: member for member in members(folder)}
    assert found["in"].issym()
    assert found["in"].linkname == "a.py"
    assert "in_folder/b.py" not in found


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name
        for file in ("b.py", "a.py") if name == "one" else ("a.py", "b.py"):
            write(folder, file)
            os.utime(folder / file, (1_700_000_000.75, 1_700_000_000.75))
        (folder / "a.py").chmod(0o700 if name == "one" else 0o755)
        (folder / "b.py").chmod(0o600 if name == "one" else 0o664)
        with packed(folder) as archive:
            digests.append(archive.sha256)
    assert digests[0] == digests[1]


def test_members_carry_whole_mtimes_and_nobody(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "run.sh", "ü\u202e.txt")
    (tmp_path / "run.sh").chmod(0o711)
    os.utime(tmp_path / "a.py", (1_700_000_000.75, 1_700_000_000.75))
    found = {member.name: member for member in members(tmp_path)}
    assert found["a.py"].mtime == 1_700_000_000
    assert (found["a.py"].mode, found["run.sh"].mode) == (0o644, 0o755)
    assert {(m.uid, m.gid, m.uname, m.gname) for m in found.values()} == {(0, 0, "", "")}
    assert "ü\u202e.txt" in found


def test_names_that_are_not_text_survive(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff.py"
    Path(os.fsdecode(raw)).write_text("x")
    assert [os.fsencode(member.name) for member in members(tmp_path)] == [b"\xff.py"]


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("MAX_ARCHIVE_BYTES", "packs to"),
        ("MAX_CONTENT_BYTES", "the limit is 0.0 MiB"),
        ("MAX_FILES", "files; the limit is 1"),
    ],
)
def test_too_much_is_refused_with_the_largest_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    (tmp_path / "big.bin").write_bytes(os.urandom(300_000))
    write(tmp_path, "small.py")
    monkeypatch.setattr(packing, limit, 1)
    with pytest.raises(CommandFailure, match=words) as caught, packed(tmp_path):
        pass
    assert caught.value.code == 2
    assert "source.path" in (caught.value.hint or "")
    if limit != "MAX_FILES":
        assert "big.bin" in caught.value.details[0]


def test_a_source_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(CommandFailure, match="no folder"):
        list_source(tmp_path / "none")
    with pytest.raises(CommandFailure, match="no files to send"):
        list_source(tmp_path)


def test_a_file_that_turns_into_a_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "src/a.py", "outside")
    real = Path.is_symlink
    swapped = tmp_path / "src/a.py"

    def swap(path: Path) -> bool:
        answer = real(path)
        if path == swapped and not answer:
            swapped.unlink()
            swapped.symlink_to("../outside")
        return answer

    monkeypatch.setattr(Path, "is_symlink", swap)
    with pytest.raises(CommandFailure, match="cannot pack"), packed(tmp_path / "src"):
        pass

"""Where a COPY puts an archive's files. (That it lets none out is the integration tests'.)"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from glovebox_local.sandbox.images import unpack

FILES = ("app/main.py", "app/static/page", "app/.hidden", "setup.cfg", "docs/one.md", "docs/two.md")


def archive(*names: str, prefix: str = "") -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name in names:
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
    return whole.getvalue()


def put(target: str, *sources: str, content: bytes) -> tuple[int, str]:
    command = [sys.executable, "-I", unpack.__file__, target, *sources]
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        done = subprocess.run(command, stdin=file, capture_output=True, check=False)
    return done.returncode, done.stderr.decode()


def tree(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("sources", "target", "found"),
    [
        (["."], "t", sorted(FILES)),
        ([""], "t/", sorted(FILES)),
        (["app"], "t", [".hidden", "main.py", "static/page"]),
        (["app/"], "t/", [".hidden", "main.py", "static/page"]),
        (["./app//"], "t", [".hidden", "main.py", "static/page"]),
        (["app/**"], "t", [".hidden", "main.py", "static/page"]),
        (["docs/*.md"], "t", ["one.md", "two.md"]),
        (["setup.cfg"], "t/", ["setup.cfg"]),
        (["setup.cfg"], "t/renamed", ["renamed"]),
        (["app/static/page"], "t/deep/", ["deep/page"]),
        (["app/static/page"], "t/deep", ["deep"]),
        (["app", "setup.cfg"], "t", [".hidden", "main.py", "setup.cfg", "static/page"]),
    ],
)
@pytest.mark.parametrize("prefix", ["", "./"])
def test_files_go_where_docker_would_put_them(
    tmp_path: Path, sources: list[str], target: str, found: list[str], prefix: str
) -> None:
    code, said = put(f"{tmp_path}/{target}", *sources, content=archive(*FILES, prefix=prefix))
    assert code == 0, said
    assert tree(tmp_path / "t") == found


def test_a_file_goes_into_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    assert put(f"{tmp_path}/t", "setup.cfg", content=archive(*FILES))[0] == 0
    assert tree(tmp_path) == ["t/setup.cfg"]


def test_a_hard_link_within_the_archive_follows_its_file(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        entry = tarfile.TarInfo("app/one")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
        link = tarfile.TarInfo("app/two")
        link.type, link.linkname = tarfile.LNKTYPE, "app/one"
        tar.addfile(link)
    assert put(f"{tmp_path}/t", "app", content=whole.getvalue()) == (0, "")
    assert (tmp_path / "t/two").read_text() == "x"


@pytest.mark.parametrize("source", ["missing", "app/missing", "ap"])
def test_a_source_that_is_not_there_is_refused_by_name(tmp_path: Path, source: str) -> None:
    code, said = put(f"{tmp_path}/t", source, content=archive(*FILES))
    assert (code, said) == (1, f"the upload holds nothing of {source}\n")

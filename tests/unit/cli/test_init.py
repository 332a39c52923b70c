"""`glovebox init`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from glovebox.domain.manifest import FrameworkName, Manifest
from glovebox.domain.manifest_text import load_manifest
from glovebox_cli.initialising import name_of

from tests.unit.cli.conftest import Cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "some project"
    made.mkdir()
    return made


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def written(folder: Path) -> Manifest:
    path = folder / "glovebox.yml"
    return load_manifest(path.read_bytes(), file=str(path))


def test_it_writes_a_valid_manifest_and_says_why(folder: Path, cli: Cli) -> None:
    write(folder, {"pytest.ini": "", "requirements.txt": "six\n", "tests/test_a.py": ""})
    ended = cli("init", str(folder))
    assert ended.code == 0, ended.err
    manifest = written(folder)
    assert manifest.name == "some-project"
    assert [suite.framework for suite in manifest.suites] == [FrameworkName.PYTEST]
    assert manifest.image.setup == ("pip install -r requirements.txt",)
    assert "# pytest.ini is there" in (folder / "glovebox.yml").read_text()
    assert "pytest: pytest.ini is there" in ended.err
    assert "glovebox run --local" in ended.err
    assert cli("validate", str(folder)).code == 0


def test_a_project_of_two_languages_gets_a_suite_for_each(folder: Path, cli: Cli) -> None:
    package = json.dumps({"scripts": {"test": "node --test"}})
    write(folder, {"pytest.ini": "", "package.json": package, "a.test.mjs": ""})
    assert cli("init", str(folder)).code == 0
    assert {suite.framework for suite in written(folder).suites} == {
        FrameworkName.PYTEST,
        FrameworkName.NODE_TEST,
    }


def test_a_manifest_that_is_there_stays(folder: Path, cli: Cli) -> None:
    write(folder, {"pytest.ini": "", "glovebox.yaml": "mine"})
    ended = cli("init", str(folder))
    assert ended.code == 2
    assert "--force" in ended.err
    assert (folder / "glovebox.yaml").read_text() == "mine"
    assert cli("init", str(folder), "--force").code == 0
    assert [path.name for path in sorted(folder.glob("glovebox.*"))] == ["glovebox.yaml"]
    assert "pytest" in (folder / "glovebox.yaml").read_text()


def test_nothing_is_written_through_a_link(folder: Path, cli: Cli, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yml"
    write(folder, {"pytest.ini": ""})
    (folder / "glovebox.yml").symlink_to(outside)
    assert cli("init", str(folder)).code == 2
    assert cli("init", str(folder), "--force").code == 0
    assert not outside.exists()
    assert not (folder / "glovebox.yml").is_symlink()


def test_two_manifests_are_not_made_one_by_force(folder: Path, cli: Cli) -> None:
    write(folder, {"pytest.ini": "", "glovebox.yml": "a", "glovebox.yaml": "b"})
    assert cli("init", str(folder), "--force").code == 2
    assert (folder / "glovebox.yml").read_text() == "a"


def test_a_json_manifest_makes_way_for_the_new_one(folder: Path, cli: Cli) -> None:
    write(folder, {"pytest.ini": "", "glovebox.json": "{}"})
    assert cli("init", str(folder), "--force").code == 0
    assert [path.name for path in folder.glob("glovebox.*")] == ["glovebox.yml"]
    assert cli("validate", str(folder)).code == 0


def test_a_dry_run_writes_to_stdout_only(folder: Path, cli: Cli) -> None:
    write(folder, {"conftest.py": ""})
    ended = cli("init", str(folder), "--dry-run")
    assert ended.code == 0
    assert load_manifest(ended.out, file="-").name == "some-project"
    assert not list(folder.glob("glovebox.*"))


def test_where_nothing_is_found_it_says_what_to_write(folder: Path, cli: Cli) -> None:
    write(folder, {"README": "", "web/package.json": '{"devDependencies": {"jest": "30"}}'})
    ended = cli("init", str(folder))
    assert ended.code == 2
    assert "framework: pytest" in ended.err
    assert "glovebox init" in ended.err
    assert "/web'" in ended.err
    assert not list(folder.glob("glovebox.*"))


def test_a_project_below_is_named_and_not_guessed_at(folder: Path, cli: Cli) -> None:
    package = '{"devDependencies": {"jest": "30"}}'
    write(folder, {"pytest.ini": "", "web/package.json": package, "web/deep/package.json": package})
    ended = cli("init", str(folder))
    assert ended.code == 0
    assert "Not in it: web (jest)" in ended.err
    assert "deep" not in ended.err


def test_what_git_ignores_says_nothing(folder: Path, cli: Cli) -> None:
    os.system(f"git init -q '{folder}'")
    write(folder, {".gitignore": "old\n", "old/conftest.py": "", "README": ""})
    assert cli("init", str(folder)).code == 2


def test_a_link_is_not_looked_into(folder: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "outside.ini").write_text("")
    write(folder, {"README": ""})
    (folder / "pytest.ini").symlink_to(tmp_path / "outside.ini")
    assert cli("init", str(folder)).code == 2


@pytest.mark.parametrize("name", ["true", "-x", "é", "a b\nc: {", "...", "no", "x" * 300])
def test_any_folders_name_makes_a_valid_manifest(tmp_path: Path, cli: Cli, name: str) -> None:
    folder = tmp_path / name[:200]
    folder.mkdir()
    write(folder, {"conftest.py": ""})
    assert cli("init", "--", str(folder)).code == 0
    assert written(folder).name == name_of(folder)


def test_a_hostile_file_name_stays_in_its_comment(folder: Path, cli: Cli) -> None:
    write(folder, {"a\nsuites: []\n/conftest.py": ""})
    assert cli("init", str(folder)).code == 0
    assert len(written(folder).suites) == 1

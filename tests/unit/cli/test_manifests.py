"""Finding manifests, `glovebox validate` and `glovebox schema`."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.unit.cli.conftest import MANIFEST, Cli
from tests.unit.cli.fake_api import a_test, report_of


def test_a_valid_manifest(project: Path, cli: Cli) -> None:
    ended = cli("validate")
    assert (ended.code, ended.text) == (0, "glovebox.yml: valid: demo, 1 suite\n")


def test_every_problem_is_told_with_file_and_line(project: Path, cli: Cli) -> None:
    (project / "bad.yml").write_text(MANIFEST.replace("name: demo", "nmae: demo\ntimeout: 5x"))
    for args in (["validate", "bad.yml"], ["run", "bad.yml", "--api", "http://x"]):
        ended = cli(*args)
        assert ended.code == 2
        assert "bad.yml:2:" in ended.err
        assert "did you mean 'name'?" in ended.err
        assert "bad.yml:3:" in ended.err
        assert ended.out == b""


def test_several_manifests(project: Path, cli: Cli) -> None:
    (project / "bad.yml").write_text("version: 2")
    (project / "binary.yml").write_bytes(b"name: \xff")
    ended = cli("validate", "bad.yml", ".", "binary.yml", "none.yml")
    assert ended.code == 2
    assert ended.text == "glovebox.yml: valid: demo, 1 suite\n"
    assert "bad.yml:1:" in ended.err
    assert "binary.yml:1:" in ended.err
    assert "there is no none.yml" in ended.err


def test_it_is_looked_for_upwards_to_the_git_root(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = project / "tests/deep"
    deep.mkdir()
    monkeypatch.chdir(deep)
    assert cli("validate").code == 2, "outside git, only here"
    (project / ".git").mkdir()
    assert cli("validate").code == 0
    (project / "tests/.git").mkdir()
    ended = cli("validate")
    assert ended.code == 2
    assert "git root" in ended.err


def test_a_named_folder_is_not_left(project: Path, cli: Cli) -> None:
    (project / ".git").mkdir()
    ended = cli("validate", "tests")
    assert ended.code == 2
    assert "no glovebox.yml, glovebox.yaml, glovebox.json in tests" in ended.err


@pytest.mark.parametrize("name", ["glovebox.yaml", "glovebox.json"])
def test_other_names(project: Path, cli: Cli, name: str) -> None:
    (project / "glovebox.yml").unlink()
    suite = {"name": "unit", "framework": "pytest"}
    manifest = {"version": 1, "name": "demo", "source": {"path": "."}, "suites": [suite]}
    (project / name).write_text(json.dumps(manifest))
    assert cli("validate").text.startswith(f"{name}: valid")


def test_two_manifests_in_one_folder_are_not_chosen_between(project: Path, cli: Cli) -> None:
    (project / "glovebox.json").write_text("{}")
    ended = cli("validate")
    assert ended.code == 2
    assert "holds glovebox.yml and glovebox.json" in ended.err


def test_a_hostile_file_name(project: Path, cli: Cli) -> None:
    name = "\x1b[2J.yml"
    (project / name).write_text("version: 2")
    assert "\x1b" not in cli("validate", name).err
    assert "\x1b" not in cli("validate", "no" + name).err


@pytest.mark.parametrize("name", ["manifest", "report"])
def test_the_schemas_are_schemas(cli: Cli, name: str) -> None:
    schema = json.loads(cli("schema", name).out)
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_report_schema_describes_a_report(cli: Cli) -> None:
    schema = json.loads(cli("schema", "report").out)
    jsonschema.validate(report_of(a_test("t"), a_test("u", "failed"), conclusion="failed"), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"run_id": "x"}, schema)


def test_the_manifest_schema_is_the_default_and_the_published_one(cli: Cli) -> None:
    published = Path(__file__).parents[3] / "docs/schema/manifest.v1.json"
    assert cli("schema").out == cli("schema", "manifest").out == published.read_bytes()

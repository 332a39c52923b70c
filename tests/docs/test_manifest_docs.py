"""docs/manifest.md documents every field, and only those, in the words of the models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from glovebox.domain.document import MAX_DEPTH, MAX_NODES
from glovebox.domain.errors import ManifestError
from glovebox.domain.manifest_schema import FieldDoc, manifest_fields
from glovebox.domain.manifest_text import MAX_MANIFEST_BYTES, MAX_PROBLEMS, load_manifest

PAGE = (Path(__file__).parents[2] / "docs/manifest.md").read_text()
EXAMPLES, WRONG = PAGE.split("## When something is wrong")
ROW = re.compile(r"^\| `([^`]+)` \|.*$", re.MULTILINE)
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def row(field: FieldDoc) -> str:
    default = f"`{field.default}`" if field.default not in ("", "required") else field.default
    return f"| `{field.path}` | {field.kind} | {default} | {field.description} |"


def test_every_field_is_documented_and_only_those() -> None:
    documented = [match[1] for match in ROW.finditer(PAGE)]
    assert sorted(documented) == sorted(field.path for field in manifest_fields())


@pytest.mark.parametrize("field", manifest_fields(), ids=lambda field: field.path)
def test_a_field_is_documented_in_the_models_words(field: FieldDoc) -> None:
    assert row(field) in PAGE.splitlines()


@pytest.mark.parametrize("example", BLOCK.findall(EXAMPLES))
def test_an_example_is_a_valid_manifest(example: str) -> None:
    load_manifest(example, file="glovebox.yml")


def test_the_wrong_example_ends_with_the_words_that_are_shown() -> None:
    (wrong,) = BLOCK.findall(WRONG)
    with pytest.raises(ManifestError) as refused:
        load_manifest(wrong, file="glovebox.yml")
    assert f"```text\n{refused.value}\n```" in WRONG


def test_the_limits_are_those_that_hold() -> None:
    assert (MAX_MANIFEST_BYTES, MAX_DEPTH, MAX_NODES) == (1024 * 1024, 20, 100_000)
    assert "at most 1 MiB, at most 20 levels deep, with at most 100 000 keys and values" in PAGE
    assert f"up to {MAX_PROBLEMS}" in PAGE

"""The published JSON Schema is the models', and it accepts what they accept."""

from __future__ import annotations

from pathlib import Path

import pytest
from glovebox.domain.manifest_schema import manifest_schema, manifest_schema_text, schema_at
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from tests.unit.domain.manifests import Document, a_command, a_document, a_suite, documents

PUBLISHED = Path(__file__).parents[3] / "docs/schema/manifest.v1.json"
REFRESH = (
    'python -c "from glovebox.domain.manifest_schema import manifest_schema_text as text; '
    "print(text(), end='')\" > docs/schema/manifest.v1.json"
)
VALIDATOR = Draft202012Validator(manifest_schema())


def test_the_published_schema_is_up_to_date() -> None:
    assert PUBLISHED.read_text() == manifest_schema_text(), f"run: {REFRESH}"


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(manifest_schema())


@settings(deadline=None)  # the machine is shared
@given(documents)
def test_the_schema_accepts_every_valid_manifest(document: Document) -> None:
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        a_document(version=2),
        a_document(nmae="x"),
        a_document(source={}),
        a_document(source={"path": ".", "s3": "s3://bucket/key"}),
        a_document(timeout=60),
        a_document(env={"A": 1}),
        a_document(env={"1A": "x"}),
        a_document(network="no"),
        a_document(suites=[]),
        a_document(suites=[a_suite(framework="nose")]),
        a_document(suites=[a_suite(command=["x"])]),
        a_document(suites=[a_suite(paths=["a"], tests=["b"])]),
        a_document(suites=[a_command(command=None)]),
        a_document(suites=[a_command(paths=["a"])]),
    ],
)
def test_an_editor_sees_the_usual_mistakes(document: Document) -> None:
    assert not VALIDATOR.is_valid(document)


def test_every_field_is_described_and_none_may_be_null() -> None:
    text = manifest_schema_text()
    assert '"null"' not in text
    for part in (manifest_schema(), *manifest_schema()["$defs"].values()):
        for name, field in part.get("properties", {}).items():
            assert field.get("description"), name


def test_a_place_leads_to_its_schema() -> None:
    assert schema_at(("suites", 3, "retries"))["maximum"] == 10
    assert schema_at(("source", "git", "ref"))["type"] == "string"
    assert schema_at(("nowhere", 1, "at all")) == {}


def test_a_caller_cannot_change_the_schema_for_others() -> None:
    manifest_schema().clear()
    assert manifest_schema()["title"]

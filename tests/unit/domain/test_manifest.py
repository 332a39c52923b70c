"""What a manifest means once it is read: defaults, one canonical form, one digest."""

from __future__ import annotations

import json
import re

import pytest
from glovebox.domain.duration import format_duration, parse_duration
from glovebox.domain.manifest import Bake, FrameworkName, Isolation, Manifest, Suite
from glovebox.domain.manifest_rules import DEFAULT_TIMEOUTS, SELF_RUNNING
from glovebox.domain.manifest_text import load_manifest
from glovebox.domain.problem import Refusal
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.domain.manifests import Document, a_command, a_document, a_suite, as_text, documents


def load(document: Document) -> Manifest:
    return load_manifest(as_text(document), file="glovebox.json")


def test_a_manifest_of_four_keys_gets_the_documented_defaults() -> None:
    manifest = load(a_document())
    suite = manifest.suites[0]
    assert (manifest.parallelism, manifest.timeout, manifest.image.base) == (
        10,
        1800,
        "code-interpreter",
    )
    assert (manifest.network, manifest.fail_fast, manifest.cache) == (False, False, False)
    assert (manifest.image.setup_network, manifest.image.bake) == (True, Bake.AUTO)
    assert (suite.framework, suite.isolation) == (FrameworkName.PYTEST, Isolation.TEST)
    assert (suite.timeout, suite.retries, suite.paths, suite.tests) == (60, 0, (), None)


def test_the_rules_know_the_models_defaults() -> None:
    manifest = load(a_document())
    assert {"run": manifest.timeout, "suite": manifest.suites[0].timeout} == DEFAULT_TIMEOUTS


def test_a_suites_env_goes_over_the_manifests() -> None:
    suite = a_suite(env={"B": "suite", "C": "suite"})
    manifest = load(a_document(env={"A": "all", "B": "all"}, suites=[suite]))
    assert manifest.env_of(manifest.suites[0]) == {"A": "all", "B": "suite", "C": "suite"}


@settings(deadline=None)  # the machine is shared
@given(documents)
def test_a_manifest_survives_its_own_text(document: Document) -> None:
    manifest = load(document)
    assert load_manifest(manifest.to_json(), file="m.json") == manifest
    assert load_manifest(manifest.to_json().encode(), file="door") == manifest
    assert Manifest.model_validate(manifest.to_dict()) == manifest


@settings(deadline=None)  # the machine is shared
@given(documents)
def test_a_manifest_survives_pydantics_own_dumps(document: Document) -> None:
    manifest = load(document)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert Manifest.model_validate(manifest.model_dump()) == manifest


@settings(deadline=None)  # the machine is shared
@given(documents)
def test_yaml_and_json_say_the_same(document: Document) -> None:
    text = json.dumps(document)
    # YAML knows the same escapes, but not JSON's pairs of surrogates.
    assume(not re.search(r"\\ud[89ab]", text))
    assert load_manifest(f"---\n{text}", file="m.yml") == load(document)


def test_the_digest_ignores_spelling_and_defaults() -> None:
    spelt_out = a_document(timeout="1800s", parallelism=10, image={"bake": "auto"})
    assert load(spelt_out).digest == load(a_document()).digest
    assert len(load(spelt_out).digest) == 64


def test_the_digest_changes_with_the_meaning() -> None:
    digests = {load(a_document(**change)).digest for change in ({}, {"cache": True}, {"name": "b"})}
    assert len(digests) == 3


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(a_document()).name = "other"  # type: ignore[misc]


def test_the_models_themselves_hold_the_rules_of_several_values() -> None:
    with pytest.raises(ValidationError, match="framework: command needs one"):
        Suite.model_validate(a_command(command=None))
    with pytest.raises(ValidationError, match="is longer than the whole run's timeout"):
        Manifest.model_validate(a_document(suites=[a_suite(timeout="1h")]))


@settings(deadline=None)  # the machine is shared
@given(st.integers(1, 24 * 3600))
def test_a_duration_survives_its_own_text(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h", 3600), ("1m30s", 90), ("24h", 86400), ("90s", 90)],
)
def test_durations_are_hours_minutes_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "5", "0s", "25h", "500ms", "1.5h", "30s1m", "1m1m", "-5m", "5m ", "5m\n", "٣s", "1d"],
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(Refusal):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("60", "60s"), ("1:30", "1m30s"), ("5M", "5m"), ("1h 30m", "1h30m"), ("soon", None)],
)
def test_the_usual_slips_are_understood_but_not_accepted(text: str, meant: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        parse_duration(text)
    assert refused.value.suggestion == meant


def test_every_framework_but_a_plain_command_finds_its_tests_by_itself() -> None:
    assert sorted(SELF_RUNNING) == sorted(set(FrameworkName) - {FrameworkName.COMMAND})

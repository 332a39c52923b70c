"""No method of the SDK beyond the desktop is without a test."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.conformance.python import (
    test_code,
    test_commands,
    test_environment,
    test_errors,
    test_files,
    test_image_catalogue,
    test_images,
    test_lifecycle,
    test_processes,
    test_streams,
    test_template_builder,
    test_tokens,
)
from tests.conformance.python.surface import calls_of, surface

_SUITE = (
    test_code,
    test_commands,
    test_environment,
    test_errors,
    test_files,
    test_image_catalogue,
    test_images,
    test_lifecycle,
    test_processes,
    test_streams,
    test_template_builder,
    test_tokens,
)


def _claims(module: ModuleType) -> set[str]:
    tests = (test for name, test in vars(module).items() if name.startswith("test_"))
    marks = (mark for test in tests for mark in getattr(test, "pytestmark", []))
    return {name for mark in marks if mark.name == "covers" for name in mark.args}


CLAIMED = {name for module in _SUITE for name in _claims(module)}


@pytest.mark.parametrize("method", sorted(surface()))
def test_a_method_of_the_sdk_has_a_test(method: str) -> None:
    assert method in CLAIMED


def test_nothing_is_claimed_that_the_sdk_does_not_have() -> None:
    assert set(surface()) >= CLAIMED


def test_the_enumeration_finds_methods_of_every_kind() -> None:
    kinds = {
        "Sandbox.create",
        "AsyncSandbox.agent_url",
        "AsyncFiles.watch",
        "Template.build",
        "VM.delete",
        "template.wait_for_port",
    }
    assert kinds <= set(surface())
    assert "Sandbox.desktop" not in surface()


def test_a_claim_counts_only_what_the_test_itself_calls() -> None:
    from hopx_ai.template import Template

    with calls_of({"Template.set_env", "Template.set_envs"}) as called:
        Template("base").set_envs({"A": "1"})
    assert called == {"Template.set_envs"}

from __future__ import annotations

from typing import Any

import pytest
from glovebox_local.sandbox import checks
from glovebox_local.sandbox.http import ApiError


def test_a_command_is_one_list() -> None:
    assert checks.arguments({"command": "bash", "args": ["-c", "id"]}) == ["bash", "-c", "id"]
    assert checks.arguments({"command": "true"}) == ["true"]
    assert checks.arguments({"command": "true", "args": None}) == ["true"]


@pytest.mark.parametrize("mode", ["0644", "644", "4644", "7644"])
def test_a_mode_never_sets_a_user(mode: str) -> None:
    assert checks.file_mode({"mode": mode}) == 0o644


@pytest.mark.parametrize("mode", ["rw", "0999", "", 420])
def test_a_mode_is_octal(mode: object) -> None:
    with pytest.raises(ApiError) as refused:
        checks.file_mode({"mode": mode})
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "variables", [{"1A": "x"}, {"": "x"}, {"A-B": "x"}, {"É": "x"}, {"A": "\ud800"}, {"A": []}]
)
def test_odd_variables_are_refused(variables: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        checks.variables({"env": variables}, "env")


@pytest.mark.parametrize("absent", [{}, {"env": None}])
def test_absent_variables_are_none(absent: dict[str, Any]) -> None:
    assert checks.variables(absent, "env") == {}


@pytest.mark.parametrize("value", [0, -1, True, "1", float("nan"), float("inf"), 10**12, []])
def test_a_time_is_a_positive_number(value: object) -> None:
    with pytest.raises(ApiError):
        checks.seconds({"timeout": value}, "timeout", 1)


def test_a_missing_time_is_the_default() -> None:
    assert checks.seconds({}, "timeout", 7) == 7.0
    assert checks.whole_seconds({}, "timeout_seconds") is None


def test_content_may_hold_what_a_name_may_not() -> None:
    assert checks.text_of_file({"content": "a\0b"}) == "a\0b"
    with pytest.raises(ApiError):
        checks.text({"path": "a\0b"}, "path")

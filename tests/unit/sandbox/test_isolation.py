from __future__ import annotations

import pytest
from glovebox_local.sandbox.isolation import Isolation, IsolationError, reach
from glovebox_local.sandbox.settings import SandboxSettings


def test_a_lower_level_than_asked_for_is_refused_with_what_is_missing() -> None:
    level = reach(SandboxSettings(api_key="k"), root=False)
    level.require("no-cgroup")
    with pytest.raises(IsolationError, match="total memory"):
        level.require("full")


def test_a_higher_level_than_asked_for_is_welcome() -> None:
    Isolation("full", (), None).require("no-cgroup")


def test_the_key_does_not_show() -> None:
    assert "secret" not in repr(SandboxSettings(api_key="secret"))

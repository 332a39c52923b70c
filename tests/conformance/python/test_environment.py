"""A sandbox's variables, and the cache of its agent."""

from __future__ import annotations

from typing import Any

from tests.conformance.python.conftest import Make
from tests.conformance.python.surface import in_both

_MASK = "***MASKED***"
_ENV = "EnvironmentVariables"


@in_both("Sandbox.env", f"{_ENV}.set", f"{_ENV}.get", f"{_ENV}.get_all", f"{_ENV}.update")
def test_variables_are_set_merged_and_applied(sandbox: Any) -> None:
    sandbox.env.set("ONE", "1")
    assert sandbox.env.update({"TWO": "2"}) == {"ONE": "1", "TWO": "2"}
    assert sandbox.env.get_all() == {"ONE": "1", "TWO": "2"}
    assert sandbox.env.get("ONE") == "1"
    assert sandbox.env.get("NONE", "fallback") == "fallback"
    assert sandbox.commands.run("echo $ONE$TWO").stdout == "12\n"


@in_both(f"{_ENV}.set_all")
def test_setting_all_forgets_the_others(make: Make) -> None:
    sandbox = make(env_vars={"OLD": "1"})
    assert sandbox.env.set_all({"NEW": "2"}) == {"NEW": "2"}
    assert sandbox.commands.run("echo [$OLD][$NEW]").stdout == "[][2]\n"


@in_both(f"{_ENV}.delete")
def test_a_variable_is_deleted(make: Make) -> None:
    sandbox = make(env_vars={"KEPT": "1", "GONE": "2"})
    sandbox.env.delete("GONE")
    sandbox.env.delete("NEVER_THERE")
    assert sandbox.env.get_all() == {"KEPT": "1"}
    assert sandbox.commands.run("echo $KEPT$GONE").stdout == "1\n"


@in_both(f"{_ENV}.get_all", f"{_ENV}.delete")
def test_secrets_are_masked_where_they_are_shown_and_used_where_they_are_needed(
    make: Make,
) -> None:
    sandbox = make(env_vars={"API_TOKEN": "t", "PLAIN": "p", "OTHER": "o"})
    assert sandbox.env.get_all() == {"API_TOKEN": _MASK, "PLAIN": "p", "OTHER": "o"}
    assert sandbox.commands.run("echo $API_TOKEN").stdout == "t\n"
    # The SDK's own: delete writes back what it was shown, and so loses every secret.
    sandbox.env.delete("OTHER")
    assert sandbox.commands.run("echo $API_TOKEN").stdout == f"{_MASK}\n"


@in_both("Sandbox.cache", "Cache.stats", "Cache.clear")
def test_the_cache_is_counted_and_cleared(sandbox: Any) -> None:
    assert isinstance(sandbox.cache.stats(), dict)
    sandbox.cache.clear()
    assert isinstance(sandbox.cache.stats(), dict)

"""What the SDK offers, found by reflection, and who calls it: no method goes without a test.

A test says with ``covers`` or ``in_both`` which methods it is for; ``test_surface`` fails for one
that nobody claims, and a test that claims a method and never calls it fails as well.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import hopx_ai.template
import pytest
from hopx_ai import AsyncSandbox, Sandbox
from hopx_ai._async_cache import AsyncCache
from hopx_ai._async_commands import AsyncCommands
from hopx_ai._async_env_vars import AsyncEnvironmentVariables
from hopx_ai._async_files import AsyncFiles
from hopx_ai._async_terminal import AsyncTerminal
from hopx_ai.cache import Cache
from hopx_ai.commands import Commands
from hopx_ai.env_vars import EnvironmentVariables
from hopx_ai.files import Files
from hopx_ai.template import VM, BuildResult, Template
from hopx_ai.terminal import Terminal

Kind = Literal["sync", "async"]
Test = TypeVar("Test", bound=Callable[..., None])

_PAIRS: list[tuple[type, type]] = [
    (Sandbox, AsyncSandbox),
    (Files, AsyncFiles),
    (Commands, AsyncCommands),
    (EnvironmentVariables, AsyncEnvironmentVariables),
    (Cache, AsyncCache),
    (Terminal, AsyncTerminal),
]
RESOURCES = tuple(resource for pair in _PAIRS for resource in pair)
_ALONE = (Template, BuildResult, VM)
_EXCEPTED = {"Sandbox.desktop"}  # there is no screen: DESKTOP_NOT_AVAILABLE


def surface() -> dict[str, tuple[Any, str]]:
    """Every public method, property and function by its name: what holds it, and as what."""
    found: dict[str, tuple[Any, str]] = {}
    for owner in (*RESOURCES, *_ALONE):
        for attribute in _public(owner):
            found[f"{owner.__name__}.{attribute}"] = (owner, attribute)
    for attribute in hopx_ai.template.__all__:
        if inspect.isfunction(getattr(hopx_ai.template, attribute)):
            found[f"template.{attribute}"] = (hopx_ai.template, attribute)
    return {name: held for name, held in found.items() if name not in _EXCEPTED}


def _public(owner: type) -> list[str]:
    members = inspect.getmembers_static(owner)
    kinds = (property, classmethod, staticmethod)
    return [
        name
        for name, member in members
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, kinds))
    ]


def covers(*names: str) -> Callable[[Test], Test]:
    """Claim methods by their names in ``surface``."""

    def decorate(test: Test) -> Test:
        marked: Test = pytest.mark.covers(*names)(test)
        return marked

    return decorate


def in_both(*names: str) -> Callable[[Test], Test]:
    """Run for the blocking and the asynchronous SDK, and claim the methods of both.

    Names are the blocking one's; the asynchronous class of the same name has Async before it.
    """

    def decorate(test: Test) -> Test:
        marked = covers(*names, *(f"Async{name}" for name in names))(test)
        both: Test = pytest.mark.parametrize("kind", ["sync", "async"])(marked)
        return both

    return decorate


def in_one(kind: Kind, *names: str) -> Callable[[Test], Test]:
    """Run for one of the two alone, and claim its methods."""

    def decorate(test: Test) -> Test:
        one: Test = pytest.mark.parametrize("kind", [kind])(covers(*names)(test))
        return one

    return decorate


def claimed(mark: pytest.Mark, kind: Kind | None) -> set[str]:
    """What a test claims when it runs for one kind of SDK, or (None) without a kind."""
    names = set(mark.args)
    if kind is None:
        return names
    return {name for name in names if name.startswith("Async") == (kind == "async")}


@contextmanager
def calls_of(names: set[str]) -> Iterator[set[str]]:
    """Collect which of these methods are called meanwhile, by others than the SDK itself."""
    called: set[str] = set()
    known = surface()
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            owner, attribute = known[name]
            member = inspect.getattr_static(owner, attribute)
            patch.setattr(owner, attribute, _noting(member, name, called))
        yield called


def _noting(member: Any, name: str, called: set[str]) -> Any:
    if isinstance(member, property):
        return property(_noting(member.fget, name, called))
    if isinstance(member, classmethod | staticmethod):
        return type(member)(_noting(member.__func__, name, called))

    @functools.wraps(member)
    def noting(*arguments: Any, **keywords: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if not caller.startswith("hopx_ai"):
            called.add(name)
        return member(*arguments, **keywords)

    return noting

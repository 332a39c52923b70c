"""Both SDKs behind one blocking face, so that one test can be for both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from tests.conformance.python.surface import RESOURCES


class Blocking:
    """An object or class of the SDK whose coroutines run to their end, and streams are iterators.

    What it answers is as the SDK answers it, but for the SDK's own resources (a sandbox, its
    files, …), which come wrapped as well.
    """

    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self.inner = inner
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        return self._shown(getattr(self.inner, name))

    def _shown(self, value: Any) -> Any:
        if inspect.isasyncgen(value):
            return stream(value, self._runner)
        if inspect.isawaitable(value):
            return self._shown(self._runner.run(_settled(value)))
        if isinstance(value, RESOURCES):
            return Blocking(value, self._runner)
        if isinstance(value, list):
            return [self._shown(item) for item in value]
        if inspect.ismethod(value) or inspect.isfunction(value):
            return self._calling(value)
        return value

    def _calling(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            return self._shown(function(*arguments, **keywords))

        return call


def stream(source: AsyncIterator[Any], runner: asyncio.Runner) -> Iterator[Any]:
    """The items of a stream as they come; closing this closes it."""
    try:
        while True:
            try:
                yield runner.run(_next(source))
            except StopAsyncIteration:
                return
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            runner.run(close())


async def _settled(value: Awaitable[Any]) -> Any:
    return await value


async def _next(source: AsyncIterator[Any]) -> Any:
    return await anext(source)

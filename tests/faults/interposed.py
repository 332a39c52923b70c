"""Ports with somebody in between: every call of a use case to the outside can be stopped, failed,
or followed by something else, before it takes effect and after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Around = Callable[[str, Callable[[], Any]], Any]
"""Given a call's name (`runs.open_attempts`) and the call itself."""


class Crash(BaseException):
    """The process ends here: no handler of the product may stop it."""


class Interposed:
    """A port, or a sandbox, each of whose calls goes through `around`."""

    def __init__(self, name: str, port: Any, around: Around) -> None:
        self._name, self._port, self._around = name, port, around

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            answer = self._around(f"{self._name}.{method}", lambda: found(*arguments, **named))
            if method in ("create", "attach"):
                return Interposed("sandbox", answer, self._around)
            return answer

        return call


def interposed(name: str, port: Any, around: Around) -> Any:
    """A port for use cases, which cannot tell it from the port itself."""
    return Interposed(name, port, around)


def at_call(number: int, what: Callable[[], None], *, after: bool = False) -> Around:
    """Does something once, at the n-th call (from 0), before or after its effect."""
    calls: Iterator[int] = iter(range(10**9))

    def around(_: str, call: Callable[[], Any]) -> Any:
        is_it = next(calls) == number
        if is_it and not after:
            what()
        answer = call()
        if isinstance(answer, Iterator):
            answer = iter(list(answer))  # read now, as far as the ledger goes now
        if is_it and after:
            what()
        return answer

    return around


def crash() -> None:
    """End the process."""
    raise Crash

"""Processes that take turns: each stands still before every call to the outside, until it is told
how that call shall go. So any interleaving can be played, and played again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import StrEnum
from typing import Any, Self

from glovebox.domain.errors import SandboxLost, SandboxUnavailable
from glovebox.usecases.watch import RunWatch

from tests.faults.interposed import Around, Crash

PATIENCE_SECONDS = 30
"""For a process to come to its next call: longer means that the model itself is stuck."""


class Fate(StrEnum):
    """How a call goes."""

    WELL = "well"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    FAIL_BEFORE = "fail before"
    """It does not happen, and the caller is told so."""
    FAIL_AFTER = "fail after"
    """It happens, and the caller is told that it did not."""


class StoreDown(Exception):
    """What an adapter raises when AWS does not answer, however often it is asked."""


def fault_of(call: str) -> Exception:
    """What an adapter raises where a call fails."""
    if call == "sandboxes.create":
        return SandboxUnavailable("no answer")
    if call.startswith(("sandbox.", "sandboxes.")):
        return SandboxLost("no answer") if "kill" not in call else SandboxUnavailable("no answer")
    return StoreDown(call)


class Process:
    """One invocation of a function."""

    current: Process | None = None
    """The one that runs now: at most one does."""

    def __init__(self, name: str, work: Callable[[Around], Any]) -> None:
        self.name = name
        self.at: str | None = "start"
        """The call that it stands before; None once it has ended."""
        self.answer: Any = None
        self.error: BaseException | None = None
        self.watch: RunWatch | None = None
        self._work = work
        self._fate = Fate.WELL
        self._crashed = False
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._wait()
        self.step(Fate.WELL)

    @property
    def ended(self) -> bool:
        return self.at is None

    @property
    def crashed(self) -> bool:
        return isinstance(self.error, Crash)

    def step(self, fate: Fate) -> None:
        """Let the call go in this way, and go on to the next one, or to the end."""
        if self.ended:
            return
        self._fate = fate
        Process.current = self
        self._go.release()
        self._wait()
        Process.current = None

    def finish(self) -> None:
        """Go on to the end, and well."""
        while not self.ended:
            self.step(Fate.WELL)

    def look(self) -> None:
        """Its watch looks, as it does once a second, wherever the work stands."""
        if self.watch is not None:
            self.watch._turn()

    def _wait(self) -> None:
        assert self._stands.acquire(timeout=PATIENCE_SECONDS), f"{self.name} is stuck at {self.at}"

    def _run(self) -> None:
        self._stand("start")
        try:
            self.answer = self._work(self._around)
        except BaseException as error:
            self.error = error
        self.at = None
        self.watch = None
        self._stands.release()

    def _stand(self, call: str) -> Fate:
        self.at = call
        self._stands.release()
        self._go.acquire()
        return self._fate

    def _around(self, call: str, effect: Callable[[], Any]) -> Any:
        if threading.current_thread() is not self._thread:
            return effect()  # the watch's, played by the model itself
        if self._crashed:
            raise Crash
        fate = self._stand(call)
        if fate is Fate.CRASH_BEFORE:
            self._die()
        if fate is Fate.FAIL_BEFORE:
            raise fault_of(call)
        answer = effect()
        if fate is Fate.CRASH_AFTER:
            self._die()
        if fate is Fate.FAIL_AFTER:
            raise fault_of(call)
        return answer

    def _die(self) -> None:
        self._crashed = True
        raise Crash


class PlayedWatch(RunWatch):
    """A watch without a thread: the model plays its looks."""

    def __enter__(self) -> Self:
        if Process.current is not None:
            Process.current.watch = self
        return self

    def __exit__(self, *_: object) -> None:
        if Process.current is not None:
            Process.current.watch = None


class InlineExecutor:
    """Runs what is submitted, at once: a batch's lanes one after another."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        return future

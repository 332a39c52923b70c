"""Which worker runs an invocation: a warm one where there is one, or will be in a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from glovebox_local.executor import executor as module
from glovebox_local.executor.executor import FunctionExecutor
from glovebox_local.executor.model import FunctionSpec, InvocationResult
from glovebox_local.settings import LocalSettings

FUNCTION = FunctionSpec("LauncherFunction", "launcher", "arn:launcher", "app.handler", Path("/"))


class HeldWorker:
    """A worker whose invocations end when the test says so."""

    def __init__(self, function: FunctionSpec, *_: Any) -> None:
        self.function = function
        self.idle_since = time.monotonic()
        self.begun = threading.Event()
        self.may_end = threading.Event()
        started.append(self)

    def is_alive(self) -> bool:
        return True

    def invoke(self, payload: bytes, request_id: str, init_seconds: float) -> InvocationResult:
        self.begun.set()
        assert self.may_end.wait(20)
        return InvocationResult(payload, request_id)

    def kill(self) -> None:
        self.may_end.set()


started: list[HeldWorker] = []


@pytest.fixture
def make_executor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[float], FunctionExecutor]:
    started.clear()
    monkeypatch.setattr(module, "Worker", HeldWorker)

    def make(patience: float) -> FunctionExecutor:
        settings = LocalSettings(start_patience_seconds=patience)
        made = FunctionExecutor(settings, cast(Any, None), cast(Any, None), tmp_path, cast(Any, 0))
        made.register(FUNCTION)
        return made

    return make


def test_an_invocation_takes_the_worker_that_is_about_to_be_free(
    make_executor: Callable[[float], FunctionExecutor],
) -> None:
    executor = make_executor(20)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(executor.invoke, "launcher", b"1")
        while not started:
            time.sleep(0.001)
        assert started[0].begun.wait(20)
        second = pool.submit(executor.invoke, "launcher", b"2")
        started[0].may_end.set()
        assert {first.result().payload, second.result().payload} == {b"1", b"2"}
    assert len(started) == 1


def test_an_invocation_does_not_wait_for_a_busy_worker_beyond_its_patience(
    make_executor: Callable[[float], FunctionExecutor],
) -> None:
    executor = make_executor(0)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(executor.invoke, "launcher", b"1")
        while not started:
            time.sleep(0.001)
        second = pool.submit(executor.invoke, "launcher", b"2")
        while len(started) < 2:
            time.sleep(0.001)
        for worker in started:
            worker.may_end.set()
        assert second.result().payload == b"2"


def test_the_first_invocation_of_a_function_waits_for_nobody(
    make_executor: Callable[[float], FunctionExecutor],
) -> None:
    executor = make_executor(10_000)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(executor.invoke, "launcher", b"1")
        while not started:
            time.sleep(0.001)
        started[0].may_end.set()

"""Invokes functions: picks or starts a worker, limits concurrency, keeps workers warm."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from glovebox_local.executor.environment import WorkerSurroundings
from glovebox_local.executor.logs import FunctionLog, LogSink
from glovebox_local.executor.model import (
    FunctionSpec,
    InvocationResult,
    ThrottledError,
    UnknownFunctionError,
)
from glovebox_local.executor.worker import Worker
from glovebox_local.processes import ChildStarter
from glovebox_local.settings import LocalSettings


class FunctionExecutor:
    """The functions of one stack, and the processes that run them."""

    def __init__(
        self,
        settings: LocalSettings,
        around: WorkerSurroundings,
        children: ChildStarter,
        log_dir: Path,
        sink: LogSink,
    ) -> None:
        self._settings = settings
        self._around = around
        self._children = children
        self._log_dir = log_dir
        self._sink = sink
        self._functions: dict[str, FunctionSpec] = {}
        self._logs: dict[str, FunctionLog] = {}
        self._changed = threading.Condition()
        self._idle: list[Worker] = []  # the longest idle first
        self._busy: set[Worker] = set()
        self._running: Counter[str] = Counter()
        self._stopping = False
        threading.Thread(target=self._evict_idle, name="glovebox-idle", daemon=True).start()

    def register(self, function: FunctionSpec) -> None:
        """Make a function known; invocations find it by its name or ARN."""
        self._functions[function.name] = function
        if function.name not in self._logs:
            path = self._log_dir / f"{function.logical_id}.log"
            self._logs[function.name] = FunctionLog(path)

    def functions(self) -> list[FunctionSpec]:
        """All functions, in the order of their registration."""
        return list(self._functions.values())

    def function(self, name_or_arn: str) -> FunctionSpec:
        """The function of a name, ARN or qualified ARN. Raises UnknownFunctionError."""
        parts = name_or_arn.split(":")
        name = parts[6] if len(parts) > 6 else parts[0]
        try:
            return self._functions[name]
        except KeyError:
            msg = f"Function not found: {name_or_arn}"
            raise UnknownFunctionError(msg) from None

    def invoke(
        self, name_or_arn: str, payload: bytes, request_id: str | None = None
    ) -> InvocationResult:
        """Run a function on a payload (JSON) and return its answer or its error.

        Raises UnknownFunctionError, and ThrottledError at the limit of concurrency.
        """
        function = self.function(name_or_arn)
        worker = self._take(function)
        try:
            if worker is None:
                worker = self._start(function)
            return worker.invoke(
                payload, request_id or str(uuid.uuid4()), self._settings.init_seconds
            )
        finally:
            self._give_back(function, worker)

    def prewarm(self, names: Iterable[str]) -> None:
        """Start a worker for each function, so that its first invocation need not wait."""
        for name in names:
            worker = self._start(self.function(name))
            with self._changed:
                self._busy.discard(worker)
                self._idle.append(worker)
                self._changed.notify_all()

    def worker_pids(self) -> list[int]:
        """The processes of all live workers."""
        with self._changed:
            return [worker.pid for worker in (*self._idle, *self._busy) if worker.is_alive()]

    def _take(self, function: FunctionSpec) -> Worker | None:
        with self._changed:
            limit = function.reserved_concurrency
            if limit is not None and self._running[function.name] >= limit:
                msg = f"Rate Exceeded: {function.logical_id} runs {limit} invocations already"
                raise ThrottledError(msg)
            if self._running.total() >= self._settings.account_concurrency:
                msg = "Rate Exceeded: the stack runs as many invocations as it may"
                raise ThrottledError(msg)
            self._running[function.name] += 1
            until = time.monotonic() + self._settings.start_patience_seconds
            while (worker := self._take_idle(function)) is None:
                left = until - time.monotonic()
                if left <= 0 or not any(busy.function is function for busy in self._busy):
                    return None
                self._changed.wait(left)
            return worker

    def _take_idle(self, function: FunctionSpec) -> Worker | None:
        # The latest used is the warmest; the others are on their way to eviction.
        for worker in reversed(self._idle):
            if worker.function is function and worker.is_alive():
                self._idle.remove(worker)
                self._busy.add(worker)
                return worker
        return None

    def _start(self, function: FunctionSpec) -> Worker:
        with self._changed:
            if self._stopping:
                msg = "the stack is stopping"
                raise ThrottledError(msg)
        log = self._logs[function.name]
        worker = Worker(function, self._around, self._children, log, self._sink)
        with self._changed:
            self._busy.add(worker)
            if not self._stopping:
                return worker
        worker.kill()  # stop() has passed while the process was being made
        msg = "the stack is stopping"
        raise ThrottledError(msg)

    def _give_back(self, function: FunctionSpec, worker: Worker | None) -> None:
        surplus: Worker | None = None
        with self._changed:
            self._running[function.name] -= 1
            if worker is None:
                return
            self._busy.discard(worker)
            if worker.is_alive() and not self._stopping:
                self._idle.append(worker)
                if len(self._idle) > self._settings.max_idle_workers:
                    surplus = self._least_useful()
                    self._idle.remove(surplus)
            else:
                surplus = worker
            self._changed.notify_all()
        if surplus is not None:
            surplus.kill()

    def _least_useful(self) -> Worker:
        """The idle worker to end: of the function that has the most of them, the longest idle."""
        counts = Counter(worker.function.name for worker in self._idle)
        most = max(counts.values())
        return next(worker for worker in self._idle if counts[worker.function.name] == most)

    def _evict_idle(self) -> None:
        limit = self._settings.idle_worker_seconds
        while True:
            with self._changed:
                if self._stopping:
                    return
                now = time.monotonic()
                expired = [w for w in self._idle if now - w.idle_since >= limit]
                self._idle = [w for w in self._idle if w not in expired]
                if not expired:
                    oldest = min((w.idle_since for w in self._idle), default=None)
                    self._changed.wait(None if oldest is None else oldest + limit - now)
            for worker in expired:
                worker.kill()

    def stop(self) -> None:
        """Kill every worker; invocations in progress come back as Runtime.ExitError."""
        with self._changed:
            self._stopping = True
            workers = [*self._idle, *self._busy]
            self._idle.clear()
            self._changed.notify_all()
        for worker in workers:
            worker.kill()
        for log in self._logs.values():
            log.close()

"""Threads for work that nobody waits for: deliveries, asynchronous invocations, delayed retries."""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)
Call = Callable[[], None]


class DaemonPool:
    """Runs calls on at most ``size`` daemon threads, started as they are needed.

    Unlike concurrent.futures' it is not joined when the interpreter exits: a delivery that hangs
    must not keep a stopped stack's process alive.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0
        self._later = _DelayedCalls(f"{name}-later", self.submit)

    def submit(self, call: Call) -> None:
        """Run a call soon; what it raises is logged."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
            elif self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._calls.put(call)

    def submit_later(self, seconds: float, call: Call) -> None:
        """Run a call after a pause, without keeping a thread for the wait."""
        self._later.add(seconds, call)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception:  # a failed delivery must not take the thread with it
                _log.exception("background call failed")
            with self._lock:
                if self._calls.empty():
                    self._free += 1

    def stop(self) -> None:
        """Drop what is waiting; running calls are left to end by themselves."""
        self._later.stop()
        with self._lock:
            for _ in range(self._threads):
                self._calls.put(None)


class _DelayedCalls:
    """A heap of calls with their moments, and one thread that waits for the nearest."""

    def __init__(self, name: str, run: Callable[[Call], None]) -> None:
        self._name = name
        self._run = run
        self._heap: list[tuple[float, int, Call]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def add(self, seconds: float, call: Call) -> None:
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._order), call))
            if self._thread is None:
                self._thread = threading.Thread(target=self._wait, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def _wait(self) -> None:
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                while self._heap and self._heap[0][0] <= now:
                    self._run(heapq.heappop(self._heap)[2])
                self._changed.wait(self._heap[0][0] - now if self._heap else None)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._heap.clear()
            self._changed.notify()

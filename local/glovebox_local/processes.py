"""Child processes that cannot outlive the stack, however it ends."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class ChildStarter:
    """Starts every child from one thread that lives as long as the stack.

    A child asks the kernel to be killed when its parent ends (PR_SET_PDEATHSIG), and the kernel
    takes the *thread* that started it for the parent. Started from a pool's or a request's thread,
    a Lambda worker would be killed the moment that thread went away.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def run(self, call: Callable[[], T]) -> T:
        """Run a call on the long-lived thread, and return or raise what it does."""
        future: Future[T] = Future()

        def serve() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(serve)
        return future.result()

    def post(self, call: Callable[[], None]) -> None:
        """Run a call on the long-lived thread, without waiting for it."""
        self._calls.put(call)

    def spawn(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: int
    ) -> subprocess.Popen[bytes]:
        """Start a program in its own session, with exactly this environment and no input.

        ``output`` is the file descriptor that receives both of its output streams.
        """

        def start() -> subprocess.Popen[Any]:
            return subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        return self.run(start)

    def stop(self) -> None:
        """End the thread. Children that are still alive are killed by the kernel with it."""
        self._calls.put(None)
        self._thread.join(timeout=2)

"""One worker: a process that runs AWS's own runtime client, and the thread that reads its log."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import queue
import select
import signal
import subprocess
import sys
import termios
import threading
import time
import uuid

from glovebox_local.executor.environment import WorkerSurroundings, worker_environment
from glovebox_local.executor.logs import FunctionLog, LogSink, WorkerLog, stream_name
from glovebox_local.executor.model import FunctionSpec, InvocationResult
from glovebox_local.executor.runtime_api import Invocation, RuntimeApi, RuntimeEvent
from glovebox_local.processes import ChildStarter

# Ask to be killed with the parent (PR_SET_PDEATHSIG = 1), make sure that it is still there, and
# become awslambdaric: `python -m awslambdaric <handler>` with one call before it.
_BOOTSTRAP = """\
import ctypes, os, runpy, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv.pop(1)):
    os._exit(0)
runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
"""
_MAX_RESPONSE_BYTES = 6 * 1024 * 1024
_EXIT_GRACE_SECONDS = 1.0


class Worker:
    """Runs one invocation at a time of one function. After ``dead`` it is of no more use."""

    def __init__(
        self,
        function: FunctionSpec,
        around: WorkerSurroundings,
        children: ChildStarter,
        log: FunctionLog,
        sink: LogSink,
    ) -> None:
        self.function = function
        self.idle_since = time.monotonic()
        self.dead = False
        self._api = RuntimeApi(function.arn)
        stream = stream_name(uuid.uuid4().hex)
        self._log = WorkerLog(log, function.log_group, stream, sink)
        reader, writer = os.pipe()
        try:
            self._process = children.spawn(
                [sys.executable, "-s", "-c", _BOOTSTRAP, str(os.getpid()), function.handler],
                cwd=function.task_root,
                env=worker_environment(function, self._api.address, stream, around),
                output=writer,
            )
        except BaseException:
            os.close(reader)
            self._api.stop()
            raise
        finally:
            os.close(writer)
        self._output: int | None = reader
        self._reading = threading.Lock()
        threading.Thread(
            target=self._read_output, args=(reader,), name="glovebox-log", daemon=True
        ).start()

    @property
    def pid(self) -> int:
        """The process id of the worker."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the process still runs (one may exit while nobody invokes it)."""
        return not self.dead and self._process.poll() is None

    def invoke(self, payload: bytes, request_id: str, init_seconds: float) -> InvocationResult:
        """Run one event to its answer, its error, its timeout or the end of the process."""
        failure = self._await_init(request_id, init_seconds)
        if failure is not None:
            self.kill()
            return failure
        started = time.monotonic()
        timeout = self.function.timeout_seconds
        self._log.begin(request_id)
        self._api.offer(Invocation(request_id, payload, time.time() + timeout))
        event = self._next_event(timeout)
        if event is None or event.kind not in ("response", "error"):
            self.kill()
        else:
            self._drain_output()
        tail = self._log.end(request_id, time.monotonic() - started, self.function.memory_mb)
        self.idle_since = time.monotonic()
        return self._result(event, request_id, tail)

    def _await_init(self, request_id: str, init_seconds: float) -> InvocationResult | None:
        until = time.monotonic() + init_seconds
        while not self._api.ready.wait(0.05):
            with contextlib.suppress(queue.Empty):
                event = self._api.events.get_nowait()
                if event.kind == "init_error":
                    return InvocationResult(event.body, request_id, "Unhandled")
                return self._result(event, request_id, "")
            if time.monotonic() > until:
                text = f"initialisation took longer than {init_seconds:.0f} seconds"
                return _failure("Sandbox.Timedout", request_id, text)
        return None

    def _next_event(self, timeout: float) -> RuntimeEvent | None:
        with contextlib.suppress(queue.Empty):
            return self._api.events.get(timeout=timeout)
        return None

    def _result(self, event: RuntimeEvent | None, request_id: str, tail: str) -> InvocationResult:
        if event is None:
            text = f"Task timed out after {self.function.timeout_seconds:.2f} seconds"
            return _failure("Sandbox.Timedout", request_id, text, tail)
        if event.kind == "exit":
            text = f"Runtime exited {_exit_text(self._process.returncode)}"
            return _failure("Runtime.ExitError", request_id, text, tail)
        if event.kind != "response":
            return InvocationResult(event.body, request_id, "Unhandled", tail)
        if len(event.body) > _MAX_RESPONSE_BYTES:
            text = f"Response payload size exceeded {_MAX_RESPONSE_BYTES} bytes"
            return _failure("Function.ResponseSizeTooLarge", request_id, text, tail)
        return InvocationResult(event.body, request_id, None, tail)

    def _read_output(self, output: int) -> None:
        waiting = select.poll()
        waiting.register(output, select.POLLIN)
        while waiting.poll():
            with self._reading:
                data = os.read(output, 65536)
                if not data:
                    break
                self._log.feed(data)
        self._log.finish()
        # The pipe is closed, so the process is ending (or has given its output away).
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_GRACE_SECONDS)
        self._output = None
        os.close(output)
        self._api.events.put(RuntimeEvent("exit"))

    def _drain_output(self) -> None:
        """Let the reader catch up, so that an invocation's last lines are in its own log."""
        unread = array.array("i", [0])
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            output = self._output
            if output is None:
                return
            with contextlib.suppress(OSError):
                fcntl.ioctl(output, termios.FIONREAD, unread)
            if unread[0] == 0:
                with self._reading:  # what was read has been written on, too
                    return
            time.sleep(0.0005)

    def kill(self) -> None:
        """End the process and every process that it started and did not detach."""
        self.dead = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_GRACE_SECONDS)
        self._api.stop()


def _failure(kind: str, request_id: str, text: str, tail: str = "") -> InvocationResult:
    message = f"RequestId: {request_id} Error: {text}"
    payload = json.dumps({"errorType": kind, "errorMessage": message}).encode()
    return InvocationResult(payload, request_id, "Unhandled", tail)


def _exit_text(code: int | None) -> str:
    if code is None:
        return "without closing its process"
    if code < 0:
        return f"with error: signal: {signal.Signals(-code).name}"
    return f"with error: exit status {code}" if code else "without providing a reason"

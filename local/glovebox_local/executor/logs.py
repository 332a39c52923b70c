"""Where a function's output goes: a file in the stack's log folder and CloudWatch Logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TAIL_BYTES = 4096

# (log group, log stream, lines): what CloudWatch Logs is told.
LogSink = Callable[[str, str, list[str]], None]


class FunctionLog:
    """The log file of one function, shared by its workers; lines of two workers never mix."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append whole lines."""
        with self._lock:
            if not self._file.closed:
                self._file.write(data)

    def close(self) -> None:
        """Close the file; what comes later is dropped."""
        with self._lock:
            self._file.close()


class WorkerLog:
    """What one worker writes, line by line, and the tail of its current invocation."""

    def __init__(self, log: FunctionLog, group: str, stream: str, sink: LogSink) -> None:
        self._log = log
        self._group = group
        self._stream = stream
        self._sink = sink
        self._lock = threading.Lock()
        self._tail = bytearray()
        self._partial = b""

    def begin(self, request_id: str) -> None:
        """Start the record of an invocation."""
        with self._lock:
            self._tail.clear()
        self.feed(f"START RequestId: {request_id} Version: $LATEST\n".encode())

    def end(self, request_id: str, seconds: float, memory_mb: int) -> str:
        """Finish the record of an invocation and return its last 4 KB."""
        milliseconds = seconds * 1000
        report = (
            f"END RequestId: {request_id}\nREPORT RequestId: {request_id}\t"
            f"Duration: {milliseconds:.2f} ms\tBilled Duration: {int(milliseconds) + 1} ms\t"
            f"Memory Size: {memory_mb} MB\n"
        )
        self.feed(report.encode())
        with self._lock:
            return bytes(self._tail).decode("utf-8", "replace")

    def feed(self, data: bytes) -> None:
        """Take output as it comes; it is written on once its line is complete."""
        with self._lock:
            lines, newline, self._partial = (self._partial + data).rpartition(b"\n")
            if not newline:
                return
            whole = lines + newline
            self._tail += whole
            del self._tail[:-_TAIL_BYTES]
        self._log.write(whole)
        self._sink(self._group, self._stream, lines.decode("utf-8", "replace").split("\n"))

    def finish(self) -> None:
        """Write out a last line that was never ended."""
        if self._partial:
            self.feed(b"\n")


def stream_name(worker_id: str) -> str:
    """The name of a worker's log stream, as Lambda writes it."""
    return time.strftime("%Y/%m/%d/[$LATEST]", time.gmtime()) + worker_id


def cloudwatch_sink(backend: Callable[[], Any]) -> LogSink:
    """A sink that stores lines in moto's CloudWatch Logs; ``backend`` gives the region's."""
    known: set[tuple[str, str]] = set()
    lock = threading.Lock()

    def put(group: str, stream: str, lines: list[str]) -> None:
        logs = backend()
        now = int(time.time() * 1000)
        with lock:
            if (group, stream) not in known:
                known.add((group, stream))
                logs.ensure_log_group(group)
                logs.create_log_stream(group, stream)
            events = [{"timestamp": now, "message": line} for line in lines]
            logs.put_log_events(group, stream, events)

    return put

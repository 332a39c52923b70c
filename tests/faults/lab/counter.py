"""Counts what really runs: every test of the laboratory calls here before it does anything else.

Its sandboxes share the host's network, so that a test reaches the counter by itself: no part of
the product is asked how often it ran something.
"""

from __future__ import annotations

import socketserver
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

PROBE = """\
# Called as `bash probe.sh TEST`: calls the counter, works a while, ends as its name says.
exec 3<>"/dev/tcp/127.0.0.1/$LAB_PORT" || exit 99
echo "begin $GLOVEBOX_RUN_ID $1 $GLOVEBOX_ATTEMPT" >&3
read -r answer <&3
[ "$answer" = go ] || exit 98
sleep "$LAB_SECONDS"
echo "end $GLOVEBOX_RUN_ID $1 $GLOVEBOX_ATTEMPT" >&3
case $1 in good*) exit 0 ;; *) exit 1 ;; esac
"""
Execution = tuple[str, str, int]


class ExecutionCounter:
    """A server on the loopback, and what it was told."""

    def __init__(self, on_begin: Callable[[Execution], None]) -> None:
        self._on_begin = on_begin
        self._lock = threading.Lock()
        self._began: Counter[Execution] = Counter()
        self._running: Counter[tuple[str, str]] = Counter()
        self.overlaps: list[tuple[str, str]] = []
        """Tests of which two attempts ran at the same moment."""
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer._serve(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def counts(self) -> dict[Execution, int]:
        """How often each attempt began."""
        with self._lock:
            return dict(self._began)

    def _serve(self, connection: socketserver.StreamRequestHandler) -> None:
        words = connection.rfile.readline().decode().split()
        if len(words) != 4 or words[0] != "begin":
            return
        run_id, test_id, number = words[1], words[2], int(words[3])
        with self._lock:
            self._began[run_id, test_id, number] += 1
            self._running[run_id, test_id] += 1
            if self._running[run_id, test_id] > 1:
                self.overlaps.append((run_id, test_id))
        self._on_begin((run_id, test_id, number))
        try:
            connection.wfile.write(b"go\n")
            connection.rfile.readline()  # its end, or the end of its sandbox
        except OSError:
            pass
        finally:
            with self._lock:
                self._running[run_id, test_id] -= 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""The fault proxy, with a book of what really executed."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from tests.faults.hopx_faults import Fault, Kind
from tests.faults.hopx_proxy import HopxFaultProxy
from tests.faults.proxy_connection import Answer, Connection, UpstreamGone

_SELECTED = re.compile(rb'\["(test_chaos\.py::test_[a-z]+_\d+)"\]')
_GZIP_MAGIC = b"\x1f\x8b\x08"
AttemptKey = tuple[str, str, int]
"""Run, test id, number."""


class BookkeepingProxy(HopxFaultProxy):
    """Which test was brought into which sandbox, and whether its command reached it.

    The book is kept where requests leave for the provider, so it does not depend on what the
    product believes: a command that reached a sandbox counts as an execution of the test that
    was uploaded there, whether or not an answer came back.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.hit_at: dict[str, float] = {}
        """When a sandbox's request last met a fault, seconds since the epoch."""
        self.last_asked: dict[str, float] = {}
        """When a sandbox was last asked for something."""
        self._test_in: dict[str, str] = {}
        self._commands: dict[AttemptKey, set[str]] = defaultdict(set)

    def forward(
        self, connection: Connection, asked: str, cut: Callable[[], None] | None = None
    ) -> Answer:
        """Ask the provider, and write down what that was."""
        sandbox_id = connection.server.sandbox_id
        if sandbox_id is not None:
            self.last_asked[sandbox_id] = time.time()
            if asked == "upload":
                self._note_upload(sandbox_id, connection.body)
        try:
            answer = super().forward(connection, asked, cut)
        except UpstreamGone:
            # It may have begun.
            self._note_command(sandbox_id, asked, connection.body)
            raise
        if answer.status < 400:
            self._note_command(sandbox_id, asked, connection.body)
        return answer

    def __enter__(self) -> Self:
        self.start()
        return self

    def inject_into(self, sandbox_id: str) -> None:
        """Write down that something was done to a sandbox."""
        self.hit_at[sandbox_id] = time.time()

    def _note_upload(self, sandbox_id: str, body: bytes) -> None:
        found = _SELECTED.search(body) or _SELECTED.search(_unpacked(body))
        if found:
            self._test_in[sandbox_id] = found[1].decode()

    def _note_command(self, sandbox_id: str | None, asked: str, body: bytes) -> None:
        if asked != "run" or sandbox_id not in self._test_in:
            return
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            env = json.loads(body)["env"]
            key = (env["GLOVEBOX_RUN_ID"], self._test_in[sandbox_id], int(env["GLOVEBOX_ATTEMPT"]))
            with self._lock:
                self._commands[key].add(sandbox_id)

    def executed(self) -> dict[AttemptKey, int]:
        """How often each attempt executed: sandboxes that its command reached, and processes in
        one sandbox beyond the first."""
        with self._lock:
            commands = {key: set(sandboxes) for key, sandboxes in self._commands.items()}
        return {
            key: sum(max(1, len(self.processes(sandbox_id))) for sandbox_id in sandboxes)
            for key, sandboxes in commands.items()
        }


def _unpacked(body: bytes) -> bytes:
    """The gzip members of an upload, one after another."""
    content, rest = b"", body[max(0, body.find(_GZIP_MAGIC)) :]
    with suppress(zlib.error):
        while rest.startswith(_GZIP_MAGIC):
            member = zlib.decompressobj(31)
            content += member.decompress(rest)
            rest = member.unused_data
    return content


__all__ = ["AttemptKey", "BookkeepingProxy", "Fault", "Kind"]

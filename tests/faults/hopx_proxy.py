"""A HopX that fails on demand: a proxy before a real one, for the real SDK.

It stands before the control plane and, with a listener of its own each, before every sandbox's
agent. What it did and what reached the provider is written down, so that a test can count.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.faults.hopx_faults import Fault, Faults, Kind, operation
from tests.faults.hopx_injection import inject
from tests.faults.proxy_connection import Answer, Connection, Listener

__all__ = ["Execution", "Fault", "HopxFaultProxy", "Kind"]

_WORD = re.compile(r"^(slot|nonce)=(\S+)$", re.MULTILINE)
_BEGAN = re.compile(r"^glovebox (?:inline|file) \S+ \S+ \d (\S+) ")


@dataclass(frozen=True)
class Execution:
    """A command that reached a sandbox. Several may be one process: those of one `began`."""

    sandbox_id: str
    slot: str
    nonce: str
    run_id: str
    attempt: str
    began: str | None
    """When its process began by the sandbox's own word; None where it did not say."""


class HopxFaultProxy:
    """See the module. `rate` draws a fault for that share of all requests, from all kinds."""

    def __init__(
        self, upstream_url: str, seed: int = 0, *, rate: float = 0.0, hold_seconds: float = 2.0
    ) -> None:
        self.faults = Faults(seed, rate)
        self.hold_seconds = hold_seconds
        self.injected: Counter[str] = Counter()
        """How often each kind was done."""
        self.requests: Counter[str] = Counter()
        """How often each operation was asked for by the client."""
        self.forwarded: Counter[str] = Counter()
        """How often each operation reached the provider."""
        self.created: list[str] = []
        """Sandboxes that the provider made, whether or not anybody was told."""
        self.deleted: set[str] = set()
        self.builds = 0
        """Images that the provider was asked to build."""
        self.longest_seconds = 0
        """What all sandboxes may live together, by the time to live that each was given."""
        self.lived_seconds = 0.0
        """What the deleted ones did live."""
        self._born: dict[str, float] = {}
        self.executions: list[Execution] = []
        self.keys_at_agents: list[str] = []
        """Requests to an agent that carried a key of the control plane."""
        self.url = ""
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._upstream_url = upstream_url.rstrip("/")
        self._listeners: dict[str, Listener] = {}
        self._control: Listener | None = None
        self._expired: set[str] = set()

    def start(self) -> HopxFaultProxy:
        """Listen; `url` is the base URL of the control plane."""
        self._control = Listener(self._upstream_url, None, self._serve)
        self.url = self._control.url
        return self

    def stop(self) -> None:
        """End every listener and connection, the ones that are held too."""
        self._stopping.set()
        with self._lock:
            listeners = list(self._listeners.values())
            self._listeners.clear()
        for listener in (*listeners, *([self._control] if self._control else [])):
            listener.stop()

    def __enter__(self) -> HopxFaultProxy:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def inject(self, *rules: Fault) -> None:
        """Add rules."""
        self.faults.add(*rules)

    def orphans(self) -> set[str]:
        """Sandboxes that were made and not deleted, by what passed here (a TTL does not)."""
        with self._lock:
            return set(self.created) - self.deleted

    def processes(self, sandbox_id: str, slot: str = "attempt") -> set[str]:
        """The beginnings of processes that a sandbox told of: more than one ran twice."""
        with self._lock:
            mine = [e for e in self.executions if e.sandbox_id == sandbox_id and e.slot == slot]
        return {execution.began for execution in mine if execution.began is not None}

    def _serve(self, connection: Connection) -> None:
        """Answer one request, in one way or another."""
        agent = connection.server.sandbox_id is not None
        asked = operation(connection.command, connection.path, agent=agent)
        with self._lock:
            expired = agent and connection.bearer in self._expired
        if expired:
            fault: Fault | None = Fault(Kind.EXPIRED_TOKEN)
        else:
            fault = self.faults.choose(asked, connection.command, connection.path)
        with self._lock:
            self.requests[asked] += 1
            if agent and connection.headers.get("X-API-Key"):
                self.keys_at_agents.append(connection.path)
            if fault is not None and not expired:
                self.injected[fault.kind] += 1
        if fault is None:
            connection.answer(self.forward(connection, asked))
        else:
            inject(self, connection, asked, fault)

    # What an injection asks of it.

    def expire(self, token: str) -> None:
        """From now on agents refuse this token."""
        with self._lock:
            self._expired.add(token)

    def wait(self, seconds: float) -> None:
        """Sleep; the end of the proxy ends it."""
        self._stopping.wait(seconds)

    def forward(
        self, connection: Connection, asked: str, cut: Callable[[], None] | None = None
    ) -> Answer:
        """Ask the provider, and write down what happened."""
        with self._lock:
            self.forwarded[asked] += 1
            if cut is not None and asked == "run":
                self._note_execution(connection, b"")
        answer = connection.forward(cut)
        with self._lock:
            answer.body = self._note(connection, asked, answer.status, answer.body)
        return answer

    def _note(self, connection: Connection, asked: str, status: int, body: bytes) -> bytes:
        """Write down what happened; the answer as the client is to see it."""
        if asked == "run":
            self._note_execution(connection, body)
        if asked == "delete" and (status < 400 or status == 404):
            sandbox_id = connection.path.rsplit("/", 1)[1]
            self.deleted.add(sandbox_id)
            self.lived_seconds += time.monotonic() - self._born.pop(sandbox_id, time.monotonic())
            if (listener := self._listeners.pop(sandbox_id, None)) is not None:
                listener.close()
        build = ("POST", "/v1/templates/build")
        self.builds += (connection.command, connection.path) == build and status < 400
        if status >= 400 or asked not in ("create", "get", "list", "images"):
            return body
        with suppress(ValueError):
            answer = json.loads(body)
            if asked == "create" and isinstance(answer, dict) and "id" in answer:
                self.created.append(answer["id"])
                self._born[answer["id"]] = time.monotonic()
                with suppress(ValueError, AttributeError, TypeError):
                    self.longest_seconds += json.loads(connection.body).get("timeout_seconds")
            listed = answer.get("data") if asked == "list" else [answer]
            for described in listed or []:
                self._lead_here(described)
            return json.dumps(answer).encode()
        return body

    def _lead_here(self, described: Any) -> None:
        """Addresses in an answer, replaced by ours."""
        if not isinstance(described, dict):
            return
        if str(described.get("upload_url", "")).startswith(self._upstream_url):
            described["upload_url"] = self.url + described["upload_url"][len(self._upstream_url) :]
        for name in ("public_host", "direct_url"):
            if described.get(name) and isinstance(described.get("id"), str):
                sandbox_id = described["id"]
                if sandbox_id not in self._listeners:
                    made = Listener(described[name], sandbox_id, self._serve)
                    self._listeners[sandbox_id] = made
                described[name] = self._listeners[sandbox_id].url

    def _note_execution(self, connection: Connection, body: bytes) -> None:
        with suppress(ValueError, AttributeError, TypeError):
            asked = json.loads(connection.body)
            words = dict(_WORD.findall(asked["args"][-1]))
            env = asked.get("env") or {}
            began = None
            with suppress(ValueError, AttributeError, TypeError):
                found = _BEGAN.match(json.loads(body).get("stdout", ""))
                began = found[1] if found else None
            self.executions.append(
                Execution(
                    connection.server.sandbox_id or "",
                    words.get("slot", ""),
                    words.get("nonce", ""),
                    env.get("GLOVEBOX_RUN_ID", ""),
                    env.get("GLOVEBOX_ATTEMPT", ""),
                    began,
                )
            )

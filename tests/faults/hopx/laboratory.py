"""A sandbox server, a proxy before it that fails on demand, and what the tests do with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
from glovebox.adapters.hopx_agent import HopxSandbox
from glovebox.domain.evidence import Evidence
from glovebox.frameworks.contract import Command
from glovebox.ports import SandboxRequest
from glovebox.usecases.process import Process, run_process

from tests.fakes import RealClock
from tests.faults.hopx_proxy import Fault, Kind

KEY = "the-key-of-the-account"
REQUEST = SandboxRequest(image="code-interpreter", network=False, ttl_seconds=77)
# Whoever runs it twice finds two lines in the file.
COUNTING = ("bash", "-c", "echo ran >>/workspace/runs; sleep 0.05; echo out; exit 3")

ANSWER_LOST = [
    Kind.ANSWERED_504_AFTER,
    Kind.ANSWERED_502_AFTER,
    Kind.DROPPED_BEFORE,
    Kind.DROPPED_AFTER,
    Kind.CUT_UNDER_WAY,
    Kind.SERVER_500,
    Kind.SERVER_502,
    Kind.SERVER_503,
    Kind.RATE_LIMITED_FLAT,
    Kind.RATE_LIMITED_HEADER,
    Kind.BLACKHOLE,
    Kind.BLACKHOLE_AFTER,
]
MALFORMED = [
    Kind.EMPTY_OBJECT,
    Kind.EXIT_CODE_NULL,
    Kind.HTML_200,
    Kind.TRUNCATED,
    Kind.JSON_NULL,
]


def live(server_url: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{server_url}/v1/sandboxes", headers={"X-API-Key": KEY}).json()
    described: list[dict[str, Any]] = answer["data"]
    return described


def kill_behind_our_back(server_url: str, sandbox_id: str) -> None:
    httpx.delete(f"{server_url}/v1/sandboxes/{sandbox_id}", headers={"X-API-Key": KEY})


def always(kind: Kind, on: str, **more: Any) -> Fault:
    return Fault(kind, on=on, times=None, **more)


def once(kind: Kind, on: str, **more: Any) -> Fault:
    return Fault(kind, on=on, times=1, **more)


def count_once(sandbox: HopxSandbox) -> Evidence:
    process = Process("attempt", Command(COUNTING), "nonce", 20, {"HOME": "/workspace/home"})
    return run_process(sandbox, process, RealClock())


def runs_in(sandbox: HopxSandbox) -> int:
    return sandbox.download("/workspace/runs", limit=1000).count(b"ran")


def once_counted(
    counted: Callable[[], int], act: Callable[[], None], pause: float = 0.005
) -> threading.Thread:
    """Act, beside the test, as soon as there is something to count."""
    before = counted()

    def watch() -> None:
        never = threading.Event()
        while counted() == before:
            never.wait(pause)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread

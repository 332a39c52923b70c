"""How many sandboxes of a stack are alive."""

from __future__ import annotations

import time

import psutil

from tests.e2e.conftest import Stack


def live_sandboxes(stack: Stack) -> int:
    """Sandboxes alive now, counted by the processes that hold them. Some always stand ready."""
    children = psutil.Process(stack.process.pid).children(recursive=True)
    return sum(1 for child in children if is_sandbox(child))


def is_sandbox(process: psutil.Process) -> bool:
    try:
        return (
            process.name() == "bwrap"
            and process.ppid() != 1
            and "bwrap" not in (parent.name() if (parent := process.parent()) else "")
        )
    except psutil.NoSuchProcess:
        return False


def wait_for_sandboxes(stack: Stack, *, at_least: int = 0, at_most: int = 10**6) -> None:
    end = time.monotonic() + 30
    while not at_least <= live_sandboxes(stack) <= at_most:
        assert time.monotonic() < end, f"{live_sandboxes(stack)} sandboxes"
        time.sleep(0.05)

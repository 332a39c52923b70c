"""The numbers and names that an embedded stack runs with; nothing here is read from outside."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"
# Placeholders of the documented shape: the emulator accepts any, and SDKs want twenty characters.
ACCESS_KEY_ID = "AKIAGLOVEBOXLOCAL000"
SECRET_ACCESS_KEY = "glovebox-local"  # noqa: S105 - opens nothing


def cpu_count() -> int:
    """The processors this process may use (a container may be allowed fewer than the host has)."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How patient, how parallel and how frugal the embedded stack is."""

    idle_worker_seconds: float = 60.0
    """A Lambda worker that nobody invoked for this long is ended, to give its memory back."""

    max_idle_workers: int = 4
    """At most this many Lambda workers wait warm, all functions together."""

    start_patience_seconds: float = 0.1
    """How long an invocation waits for a busy worker of its function before it starts another one.
    The next batch comes while the last one's launcher still says good-bye, and a start costs a
    second of a processor that the tests could use."""

    account_concurrency: int = 64
    """Invocations at a time, all functions together; one more is throttled, as on AWS at 1000."""

    init_seconds: float = 30.0
    """How long a function may import before the invocation fails (AWS allows 10)."""

    async_retry_seconds: tuple[float, ...] = (1.0, 2.0)
    """Pauses before the retries of an asynchronous invocation. AWS waits 60 and 120 seconds; nobody
    who sits in front of a terminal wants to."""

    async_threads: int = 16
    """Asynchronous invocations and event deliveries at a time; the others wait in line."""

    max_pollers_per_queue: int = field(default_factory=lambda: 2 * cpu_count())
    """Concurrent invocations per queue where the template sets no MaximumConcurrency."""

    schedule_poll_seconds: float = 0.5
    """How often the ticker looks at the clock: the precision of local schedules."""

    stop_seconds: float = 2.0
    """How long stop() lets threads finish before it goes on without them (they are daemons)."""

    prewarm: tuple[str, ...] = ("ApiFunction", "PlannerFunction", "LauncherFunction")
    """Logical ids of functions that get a worker at start, for the first run to find warm."""

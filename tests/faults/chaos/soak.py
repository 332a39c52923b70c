"""Whether a stack grows: memory, threads and descriptors of its processes, minute by minute."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

MEMORY_PER_RUN_MB = 6.0
"""What a finished run may leave behind: the emulated AWS keeps its objects, rows and history in
memory for as long as it lives, as AWS keeps them on disk."""
NOISE_MB = 40.0
"""Memory that comes and goes: what is under way at a mark, and what the allocator keeps."""
NOISE_COUNT = 12
"""Threads and descriptors that come and go with what is under way at a mark."""


@dataclass(frozen=True)
class Mark:
    """The stack's process at one moment. Its workers come and go and are told beside it."""

    at: float
    """Seconds since the start."""
    finished_runs: int
    memory_mb: float
    threads: int
    descriptors: int
    server_memory_mb: float
    server_descriptors: int
    workers: int
    workers_memory_mb: float

    def line(self) -> str:
        """For people."""
        return (
            f"{self.at / 60:5.1f} min  {self.finished_runs:4} runs  stack {self.memory_mb:.0f} MB"
            f" {self.threads} threads {self.descriptors} descriptors  sandbox server"
            f" {self.server_memory_mb:.0f} MB {self.server_descriptors} descriptors"
            f"  {self.workers} workers {self.workers_memory_mb:.0f} MB"
        )


def look(pid: int, at: float, finished_runs: int) -> Mark:
    """Look at a stack by its process id."""
    stack = psutil.Process(pid)
    workers = [p for p in stack.children() if _is(p, "awslambdaric")]
    servers = [p for p in stack.children() if _is(p, "glovebox_local.sandbox")]
    return Mark(
        at=at,
        finished_runs=finished_runs,
        memory_mb=stack.memory_info().rss / 1e6,
        threads=stack.num_threads(),
        descriptors=stack.num_fds(),
        server_memory_mb=sum(p.memory_info().rss for p in servers) / 1e6,
        server_descriptors=sum(p.num_fds() for p in servers),
        workers=len(workers),
        workers_memory_mb=sum(_rss(p) for p in workers) / 1e6,
    )


def _is(process: psutil.Process, word: str) -> bool:
    try:
        return any(word in part for part in process.cmdline())
    except psutil.Error:
        return False


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def growth(marks: Sequence[Mark]) -> list[str]:
    """What grew beyond noise. The rule: the first quarter is warming up; of the rest, the last
    third is held against the first third. Of memory the medians, which may differ by NOISE_MB and
    MEMORY_PER_RUN_MB for each run that finished between the two; of threads and descriptors the
    least, since what is under way only adds (each live sandbox has several), and these may differ
    by NOISE_COUNT. Fewer than twelve marks say nothing."""
    if len(marks) < 12:
        return []
    rest = marks[len(marks) // 4 :]
    third = len(rest) // 3
    early, late = rest[:third], rest[-third:]

    def median(part: Sequence[Mark], name: str) -> float:
        return statistics.median(float(getattr(mark, name)) for mark in part)

    def least(part: Sequence[Mark], name: str) -> float:
        return min(float(getattr(mark, name)) for mark in part)

    runs = median(late, "finished_runs") - median(early, "finished_runs")
    allowed = {
        "memory_mb": (median, NOISE_MB + MEMORY_PER_RUN_MB * runs),
        "server_memory_mb": (median, NOISE_MB),
        "threads": (least, NOISE_COUNT),
        "descriptors": (least, NOISE_COUNT),
        "server_descriptors": (least, NOISE_COUNT),
    }
    return [
        f"{name} grew from {of(early, name):.0f} to {of(late, name):.0f} (allowed: {most:.0f})"
        for name, (of, most) in allowed.items()
        if of(late, name) - of(early, name) > most
    ]

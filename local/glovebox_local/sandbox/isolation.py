"""How well this machine, and this user, can isolate a sandbox; said at start, never assumed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from glovebox_local.sandbox import cgroup_trees, cgroups, seccomp
from glovebox_local.sandbox.settings import MIB, SandboxSettings

Level = Literal["full", "no-cgroup"]
LEVELS: tuple[Level, ...] = ("no-cgroup", "full")
"""From weakest to strongest. Namespaces, filter and mounts are the same in both."""


class IsolationError(RuntimeError):
    """A level was asked for that cannot be reached here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """The level reached, what it leaves unbounded, and the groups if there are any."""

    level: Level
    not_enforced: tuple[str, ...]
    groups: cgroups.Cgroups | None

    def require(self, wanted: Level) -> None:
        """Raise ``IsolationError`` if the level reached is weaker than ``wanted``."""
        if LEVELS.index(self.level) < LEVELS.index(wanted):
            missing = "; ".join(self.not_enforced)
            message = f"isolation is {self.level}, {wanted} was asked for. Not enforced: {missing}"
            raise IsolationError(message)


def reach(settings: SandboxSettings, *, root: bool) -> Isolation:
    """Prepare the strongest level possible. ``root``: mounts of our own were possible."""
    processor = seccomp.missing_table()
    unfiltered = (f"the system call filter (none for {processor})",) if processor else ()
    if not root:
        return Isolation(
            "no-cgroup",
            (
                *unfiltered,
                "total memory of a sandbox (not root)",
                "processor time of a sandbox (not root)",
                "a host user of its own for every sandbox (not root)",
            ),
            None,
        )
    limits = cgroups.Limits(
        memory_bytes=settings.memory_mb * MIB, pids=settings.pids, cpus=settings.cpus
    )
    try:
        return Isolation("full", unfiltered, cgroup_trees.prepare(limits, os.getpid()))
    except cgroup_trees.CgroupsUnavailableError as error:
        reasons = (
            *unfiltered,
            f"total memory of a sandbox ({error})",
            f"processor time of a sandbox ({error})",
        )
        return Isolation("no-cgroup", reasons, None)

"""Which of its limits a sandbox ran into: what tells an abuser's end from a failure of its own.

The kernel counts memory kills and refused forks per group; without groups neither is known. A full
file system is seen, not counted: nobody remembers one that was emptied again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from typing import Literal

Limit = Literal["oom", "pids", "disk"]
Counts = tuple[int, int]
"""Memory kills, and forks refused."""

_COUNTED: tuple[Limit, Limit] = ("oom", "pids")
_FILE_TOO_LARGE = 128 + signal.SIGXFSZ
_FULL_BYTES = 64 * 1024
_MAX_COUNTER_BYTES = 4096
_NOTHING = (0, 0)


class LimitWatch:
    """The limits that one sandbox has run into."""

    __slots__ = ("_descriptors", "_files", "_folders", "_hit", "_used")

    def __init__(
        self,
        counters: tuple[tuple[str, str], ...] = (),
        folders: Callable[[], Iterable[int]] = tuple,
    ) -> None:
        """``counters`` is (file, word before the number) for "oom" and "pids", or nothing.

        ``folders`` gives a descriptor in each of the sandbox's file systems.
        """
        self._files = counters
        self._folders = folders
        self._descriptors: list[int] = []
        self._used = False
        self._hit: dict[Limit, None] = {}

    def mark(self) -> Counts:
        """The counts before a command. The first one's need no look: a sandbox is born with none.

        That keeps the look away from the usual life of a sandbox, which has one command.
        """
        if not self._used:
            self._used = True
            return _NOTHING
        return self._counts()

    def hit_since(self, before: Counts, exit_code: int) -> list[Limit]:
        """What was hit by the time that a command failed; the first is the likeliest reason."""
        after = self._counts()
        hit: list[Limit] = [
            name for name, then, now in zip(_COUNTED, before, after, strict=True) if now > then
        ]
        if exit_code == _FILE_TOO_LARGE or self._is_full():
            hit.insert("oom" in hit, "disk")
        self._hit |= dict.fromkeys(hit)
        return hit

    def hit_ever(self) -> list[Limit]:
        """What was hit in the sandbox's life, as far as is known."""
        self._hit |= dict.fromkeys(self.hit_since(_NOTHING, 0))
        return sorted(self._hit)

    def close(self) -> None:
        """Let go of the counters; what was hit stays known."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        self._files = ()

    def _counts(self) -> Counts:
        try:
            if not self._descriptors:
                for file, _ in self._files:
                    self._descriptors.append(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
            words = (word for _, word in self._files)
            memory_kills, refused_forks = map(_count, self._descriptors, words)
        except (OSError, ValueError):  # no groups, or the sandbox's are gone
            return _NOTHING
        return memory_kills, refused_forks

    def _is_full(self) -> bool:
        try:
            spaces = [os.statvfs(folder) for folder in self._folders()]
        except OSError:
            return False
        return any(s.f_bavail * s.f_frsize < _FULL_BYTES or not s.f_favail for s in spaces)


def _count(descriptor: int, word: str) -> int:
    lines = os.pread(descriptor, _MAX_COUNTER_BYTES, 0).decode("ascii").splitlines()
    counts = dict(line.split()[:2] for line in lines)
    return int(counts.get(word, "0"))

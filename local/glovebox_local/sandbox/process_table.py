"""The processes of a sandbox as the sandbox itself sees them, read and ended from outside.

All of it goes through the sandbox's own /proc: another sandbox's processes, and the host's, are not
in it. Reading costs a few files a process, so it is done in a thread (``look``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from glovebox_local.sandbox.files import SandboxFiles
from glovebox_local.sandbox.http import ApiError

_T = TypeVar("_T")

_MAX_LISTED = 4096
_MAX_COMMAND_BYTES = 4096
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting",
    "T": "stopped",
    "t": "stopped",
    "Z": "zombie",
    "I": "idle",
}
# A session may go on forking while it is being killed; each round kills all that it then has.
_ROUNDS = 50
FIRST_PID = 1
"""The process that keeps the sandbox; it ends with it and not before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One process; ``pid``, ``parent`` and ``session`` are the sandbox's numbers."""

    pid: int
    name: str
    state: str
    parent: int
    session: int
    processor_seconds: float
    started_at: float
    """Seconds after the machine's start."""
    memory_bytes: int
    command: str

    def describe(self) -> dict[str, Any]:
        """As ``GET /processes`` shows it; ``cpu_percent`` is the average of its life, as in ps."""
        age = max(time.clock_gettime(time.CLOCK_BOOTTIME) - self.started_at, 1 / _TICKS)
        return {
            "pid": self.pid,
            "ppid": self.parent,
            "name": self.name,
            "status": _STATES.get(self.state, self.state),
            "cpu_percent": round(100 * self.processor_seconds / age, 1),
            "memory_mb": round(self.memory_bytes / 1024 / 1024, 1),
            "command": self.command or self.name,
        }


async def look(files: SandboxFiles, act: Callable[..., _T], *given: Any, **named: Any) -> _T:
    """Call this in a thread, with the sandbox's own /proc (a descriptor) as first argument.

    The thread owns the descriptor and always runs to its end, for nobody may close it under the
    thread: its number could by then be another sandbox's /proc.
    """
    descriptor = files.open_system("proc", os.O_RDONLY | os.O_DIRECTORY)

    def run() -> _T:
        try:
            return act(descriptor, *given, **named)
        finally:
            os.close(descriptor)

    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, run))


async def end_session(files: SandboxFiles, session: int | None) -> None:
    """Kill all that a program started and that did not leave its session."""
    if session is not None:
        with contextlib.suppress(ApiError):  # the sandbox is gone, and all of it
            await look(files, kill_session, session)


def read(proc_fd: int, *, commands: bool = False) -> list[Entry]:
    """Every process of the sandbox whose /proc this is; their command lines too if asked for."""
    with os.scandir(proc_fd) as entries:
        numbers = sorted(int(entry.name) for entry in entries if entry.name.isdecimal())
    return list(_entries(proc_fd, numbers[:_MAX_LISTED], commands))


def _entries(proc_fd: int, numbers: list[int], commands: bool) -> Iterator[Entry]:
    for number in numbers:
        # A process may end at any moment between the listing and the look at it.
        with contextlib.suppress(OSError, ValueError):
            folder = os.open(str(number), os.O_RDONLY | os.O_DIRECTORY, dir_fd=proc_fd)
            try:
                yield _entry(folder, number, commands)
            finally:
                os.close(folder)


def _entry(folder: int, number: int, commands: bool) -> Entry:
    stat = _file(folder, "stat")
    # The name, in brackets, may hold anything; what follows the last bracket does not.
    name = stat[stat.index(b"(") + 1 : stat.rindex(b")")].decode(errors="replace")
    fields = stat[stat.rindex(b")") + 2 :].split()
    line = _file(folder, "cmdline") if commands else b""
    return Entry(
        pid=number,
        name=name,
        state=fields[0].decode(),
        parent=int(fields[1]),
        session=int(fields[3]),
        processor_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        started_at=int(fields[19]) / _TICKS,
        memory_bytes=int(fields[21]) * _PAGE_BYTES,
        command=line.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace"),
    )


def _file(folder: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(descriptor, _MAX_COMMAND_BYTES)
    finally:
        os.close(descriptor)


def kill(proc_fd: int, pid: int, session: int | None = None) -> bool:
    """Kill one process (only if it is of this session); False if there is none.

    The folder that is open pins the process: the number cannot have become another's meanwhile.
    """
    try:
        folder = os.open(str(pid), os.O_RDONLY | os.O_DIRECTORY, dir_fd=proc_fd)
    except (FileNotFoundError, ProcessLookupError):
        return False
    try:
        if session is not None and _entry(folder, pid, commands=False).session != session:
            return False
        signal.pidfd_send_signal(folder, signal.SIGKILL)
    except (OSError, ValueError):
        return False
    finally:
        os.close(folder)
    return True


def kill_session(proc_fd: int, session: int) -> None:
    """Kill every process of a session, those too that left their process group."""
    for _ in range(_ROUNDS):
        members = [
            entry for entry in read(proc_fd) if entry.session == session and entry.state != "Z"
        ]
        if not members:
            return
        for entry in members:
            kill(proc_fd, entry.pid, session)


def inner_pid(host_pid: int) -> int | None:
    """A process's number inside its sandbox; None if it has ended."""
    try:
        with open(f"/proc/{host_pid}/status", encoding="ascii", errors="replace") as lines:  # noqa: PTH123
            for line in lines:
                if line.startswith("NSpid:"):
                    return int(line.split()[-1])
    except OSError:
        pass
    return None

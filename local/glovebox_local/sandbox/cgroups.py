"""Control groups: what bounds a sandbox as a whole (memory, processes, processor time).

Version 1 (one tree per controller) and version 2 (one tree) look alike from outside this file and
``cgroup_trees``, which finds them. All folders of a server lie in one per tree that is named after
the server's process, so a later server can tell what a dead one left and whose it was.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

FOLDER_PREFIX = "glovebox-"
# Swap accounting is a kernel option: without the file there is no swap to bound.
_SWAP_FILES = ("memory.swap.max", "memory.memsw.limit_in_bytes")
_CPU_PERIOD_MICROSECONDS = 100_000
# A killed process leaves its group a moment later.
_EMPTY_SECONDS = 2.0
_RETRY_SECONDS = 0.01


class Limits:
    """What one sandbox may use: bytes of memory, number of processes and threads, processors."""

    __slots__ = ("cpus", "memory_bytes", "pids")

    def __init__(self, *, memory_bytes: int, pids: int, cpus: float) -> None:
        self.memory_bytes = memory_bytes
        self.pids = pids
        self.cpus = cpus

    def settings(self, version: int) -> tuple[tuple[str, str, str], ...]:
        """(controller, file, value) of each limit."""
        # One more: the keeper that starts the sandbox's processes lives in the same group.
        pids = str(self.pids + 1)
        quota = str(int(self.cpus * _CPU_PERIOD_MICROSECONDS))
        if version == 2:
            return (
                ("memory", "memory.max", str(self.memory_bytes)),
                ("memory", "memory.swap.max", "0"),
                ("pids", "pids.max", pids),
                ("cpu", "cpu.max", f"{quota} {_CPU_PERIOD_MICROSECONDS}"),
            )
        return (
            ("memory", "memory.limit_in_bytes", str(self.memory_bytes)),
            ("memory", "memory.memsw.limit_in_bytes", str(self.memory_bytes)),
            ("pids", "pids.max", pids),
            ("cpu", "cpu.cfs_quota_us", quota),
        )


class Cgroups:
    """The folders of one server: ``parents`` maps a controller to the folder to build in."""

    def __init__(self, version: int, parents: dict[str, str], limits: Limits) -> None:
        self.version = version
        self.parents = parents
        self._limits = limits

    def folders(self, name: str) -> dict[str, str]:
        """Where a sandbox's groups are (or will be), by controller."""
        return {controller: f"{parent}/{name}" for controller, parent in self.parents.items()}

    def create(self, name: str) -> tuple[str, ...]:
        """Make a sandbox's groups and set its limits; returns the folders to join."""
        folders = self.folders(name)
        places = tuple(dict.fromkeys(folders.values()))
        for place in places:
            os.mkdir(place, 0o755)  # noqa: PTH102 - no pathlib in the spawner
        for controller, file, value in self._limits.settings(self.version):
            path = f"{folders[controller]}/{file}"
            if file not in _SWAP_FILES or os.path.exists(path):  # noqa: PTH110
                write(path, value)
        return places

    def remove(self, name: str) -> bool:
        """Kill what is left in a sandbox's groups and remove them; False if one is still busy."""
        places = set(self.folders(name).values())
        # Every one is tried, so no short cut.
        still_there = [place for place in places if not remove_folder(place)]
        return not still_there

    def remove_all(self) -> None:
        """Remove everything that this server made."""
        remove_servers(list(set(self.parents.values())))

    @property
    def can_freeze(self) -> bool:
        """Whether a sandbox can be frozen by its group (version 1 may lack that controller)."""
        return self.version == 2 or "freezer" in self.parents

    def freeze(self, name: str) -> None:
        """Begin to freeze all processes of a sandbox, its keeper too; ``is_frozen`` tells the end.

        Raises ``FileNotFoundError`` if the sandbox is gone.
        """
        if self.version == 2:
            write(f"{self.folders(name)['memory']}/cgroup.freeze", "1")
        else:
            write(f"{self.folders(name)['freezer']}/freezer.state", "FROZEN")

    def is_frozen(self, name: str) -> bool:
        """Whether every process of a sandbox stands still."""
        if self.version == 2:
            return "frozen 1" in read(f"{self.folders(name)['memory']}/cgroup.events")
        return read(f"{self.folders(name)['freezer']}/freezer.state").startswith("FROZEN")

    def thaw(self, name: str) -> None:
        """Let a frozen sandbox go on; nothing happens to one that is not frozen, or gone."""
        if self.can_freeze:
            _thaw(self.folders(name)["memory" if self.version == 2 else "freezer"])

    def processes(self, name: str) -> list[int]:
        """The host's ids of all processes of a sandbox, its keeper's and its monitor's too."""
        return _processes_in(self.folders(name)["pids"])

    def counter_files(self, name: str) -> tuple[tuple[str, str], ...]:
        """(file, word before the number) of what counts memory kills, and of refused forks."""
        folders = self.folders(name)
        memory = "memory.events" if self.version == 2 else "memory.oom_control"
        return (
            (f"{folders['memory']}/{memory}", "oom_kill"),
            (f"{folders['pids']}/pids.events", "max"),
        )


def join(places: tuple[str, ...]) -> None:
    """Move this (single-threaded) process into these groups.

    The kernel may take a grace period of 7 to 25 ms (measured) for the first move after a pause,
    which is why sandboxes get keepers that joined long before they are needed.
    """
    for place in places:
        write(f"{place}/cgroup.procs", "0")


def sandbox_name(slot: int) -> str:
    """The name of a sandbox's groups."""
    return f"sandbox-{slot}"


def remove_folder(place: str) -> bool:
    """Kill a group's processes, frozen ones too, and remove its folder; False if still there."""
    for _ in range(3):
        try:
            os.rmdir(place)  # noqa: PTH106
        except FileNotFoundError:
            return True
        except OSError:
            for pid in _processes_in(place):
                if pid != os.getpid():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            # After the kill, so that the thawed die before they take a step.
            _thaw(place)
        else:
            return True
    return False


def remove_servers(places: list[str]) -> None:
    """Remove servers' folders with the sandboxes' in them, as soon as the killed have left."""
    deadline = time.monotonic() + _EMPTY_SECONDS
    while left := [place for place in places if not _remove_server(place)]:
        if time.monotonic() > deadline:
            return
        places = left
        time.sleep(_RETRY_SECONDS)


def _remove_server(place: str) -> bool:
    inner = [remove_folder(f"{place}/{name}") for name in folders_in(place)]
    return all(inner) and remove_folder(place)


def _thaw(place: str) -> None:
    for file, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        # Each exists in one version only.
        with contextlib.suppress(OSError):
            write(f"{place}/{file}", value)


def folder_name(pid: int) -> str:
    """A server's folder: its process id, and its start time because ids are used again."""
    return f"{FOLDER_PREFIX}{pid}-{_start_time(pid)}"


def is_alive(name: str) -> bool:
    """Whether the server that a folder is named after still runs."""
    pid = name.removeprefix(FOLDER_PREFIX).partition("-")[0]
    return pid.isdigit() and folder_name(int(pid)) == name


def _start_time(pid: int) -> str:
    try:
        # The command's name, in brackets, may hold spaces; what follows it does not.
        return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[19]
    except OSError:
        return "dead"


def folders_in(place: str) -> list[str]:
    """The names of the folders in a folder; none if it is not there."""
    try:
        with os.scandir(place) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _processes_in(place: str) -> list[int]:
    try:
        return [int(pid) for pid in read(f"{place}/cgroup.procs").split()]
    except OSError:
        return []


def read(path: str) -> str:
    """What a file of the kernel's says. Raises ``OSError``."""
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return file.read()


def write(path: str, value: str) -> None:
    """Tell a file of the kernel's, which must be there. Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)

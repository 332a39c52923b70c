"""What a server and its sandboxes leave on the machine, to be compared before and after."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import psutil
from glovebox_local.sandbox import cgroup_trees, cgroups
from glovebox_local.sandbox.server import SandboxServerProcess


def family(pid: int) -> list[psutil.Process]:
    """A process and everything that descends from it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def groups_of(pid: int) -> list[str]:
    """The folders of a server in the control groups' trees, its sandboxes' too."""
    try:
        places = cgroup_trees.candidates()
    except cgroup_trees.CgroupsUnavailableError:
        return []
    mine = f"{cgroups.FOLDER_PREFIX}{pid}-"
    servers = [
        folder
        for group in places
        for folder in Path(group).iterdir()
        if folder.name.startswith(mine)
    ]
    inner = [str(f) for server in servers for f in server.iterdir() if f.is_dir()]
    return sorted([*map(str, servers), *inner])


def files_of(pid: int) -> set[str]:
    """Files and folders with a name on disk that a process holds open, its streams aside.

    What has no name ends with the process: a server that holds no other leaves nothing on disk.
    """
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        if int(descriptor.name) > 2:
            with contextlib.suppress(FileNotFoundError):
                found.add(str(descriptor.readlink()))
    unnamed = ("/dev/", "/proc/", "/sys/")
    return {
        name
        for name in found
        if name.startswith("/") and not name.startswith(unnamed) and "(deleted)" not in name
    }


@dataclass(frozen=True)
class Traces:
    """Numbers of things, and what is mounted for us and for the server."""

    processes: int
    groups: int
    files: int
    descriptors: tuple[int, int]
    """The server's, the spawner's."""
    mounts: tuple[str, str]

    def exceeds(self, before: Traces) -> bool:
        """Whether there is more of anything, or a mount that is new.

        Fewer descriptors are no leak: a connection may have been open before.
        """
        more = any(
            now > then for now, then in zip(self.descriptors, before.descriptors, strict=True)
        )
        return (
            more
            or self.mounts != before.mounts
            or self.processes > before.processes
            or self.groups > before.groups
            or self.files > before.files
        )


def traces(server: SandboxServerProcess) -> Traces:
    """What there is of a running server."""
    descriptors = tuple(psutil.Process(pid).num_fds() for pid in (server.pid, server.spawner_pid))
    return Traces(
        processes=len(family(server.pid)),
        groups=len(groups_of(server.pid)),
        files=sum(len(files_of(pid)) for pid in (server.pid, server.spawner_pid)),
        descriptors=(descriptors[0], descriptors[1]),
        mounts=(mounted("self"), mounted(server.pid)),
    )


def mounted(process: int | str) -> str:
    """The table of what a process sees mounted, without the numbers that the kernel gives."""
    lines = Path(f"/proc/{process}/mountinfo").read_text(encoding="utf-8").splitlines()
    return "\n".join(sorted(" ".join(line.split()[3:]) for line in lines))

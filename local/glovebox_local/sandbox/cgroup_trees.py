"""Where control groups can be made here: the trees, this process's place in them, our folders.

For the server alone; the spawner gets the folders that were found.

Version 2 lets a group that holds processes give no controllers to groups below it, and the server's
own group holds the server. So the folder is made in the nearest group upwards that may: below the
server's own in a bare container, beside it under systemd, whose slices hold no processes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import PurePath

from glovebox_local.sandbox.cgroups import (
    FOLDER_PREFIX,
    Cgroups,
    Limits,
    folder_name,
    folders_in,
    is_alive,
    read,
    remove_servers,
    write,
)

_NEEDED = ("memory", "pids", "cpu")
_OPTIONAL = ("freezer",)


class CgroupsUnavailableError(Exception):
    """No usable control groups here; the message says why. Sandboxes run without total limits."""


def prepare(limits: Limits, server_pid: int) -> Cgroups:
    """Make this server's folders and sweep those of dead servers.

    Raises ``CgroupsUnavailableError`` where a needed controller is absent or not ours to use.
    """
    version, own = own_groups()
    sweep(*candidates())
    parents: dict[str, str] = {}
    try:
        if version == 2:
            parents = dict.fromkeys(_NEEDED, _delegated(candidates(), folder_name(server_pid)))
        for controller, group in own.items() if version == 1 else ():
            parents[controller] = f"{group}/{folder_name(server_pid)}"
            os.makedirs(parents[controller], 0o755, exist_ok=True)  # noqa: PTH103
    except OSError as error:
        Cgroups(version, parents, limits).remove_all()
        message = f"control groups cannot be used: {error.strerror} ({error.filename})"
        raise CgroupsUnavailableError(message) from error
    return Cgroups(version, parents, limits)


def sweep(*groups: str) -> None:
    """Remove below these groups the folders of servers that are dead. Never anything else.

    All trees at once: what is frozen in one of them keeps its folders in the others.
    """
    dead = [
        f"{group}/{name}"
        for group in groups
        for name in folders_in(group)
        if name.startswith(FOLDER_PREFIX) and not is_alive(name)
    ]
    remove_servers(dead)


def candidates() -> list[str]:
    """Every group that folders of servers like this one may be in, nearest first."""
    version, own = own_groups()
    if version == 1:
        return list(dict.fromkeys(own.values()))
    return list(_upwards(own["memory"]))


def own_groups() -> tuple[int, dict[str, str]]:
    """The version in use, and this process's own group per needed controller, as folders."""
    unified: str | None = None
    found: dict[str, str] = {}
    mounts = tuple(_cgroup_mounts())
    with open("/proc/self/cgroup", encoding="utf-8") as lines:  # noqa: PTH123
        for line in lines:
            _, names, path = line.rstrip("\n").split(":", 2)
            controllers = tuple(names.split(",")) if names else ("",)
            for mount_point, root, mounted in mounts:
                if controllers[0] in mounted:
                    group = mount_point + _below(root, path)
                    found |= {c: group for c in controllers if c in _NEEDED + _OPTIONAL}
                    unified = group if not names else unified
    if all(controller in found for controller in _NEEDED):
        return 1, found
    if unified and any(set(_NEEDED) <= _offered(group) for group in _upwards(unified)):
        return 2, dict.fromkeys(_NEEDED, unified)
    message = f"no control group tree offers {', '.join(_NEEDED)} to this process"
    raise CgroupsUnavailableError(message)


def _delegated(groups: list[str], name: str) -> str:
    """Make version 2's folder in the first of these groups that can hand its controllers down.

    Raises ``OSError``, the nearest group's, if none can.
    """
    wanted = " ".join(f"+{controller}" for controller in _NEEDED)
    refusal: OSError | None = None
    for group in groups:
        folder = f"{group}/{name}"
        try:
            write(f"{group}/cgroup.subtree_control", wanted)
            os.makedirs(folder, 0o755, exist_ok=True)  # noqa: PTH103
            write(f"{folder}/cgroup.subtree_control", wanted)
        except OSError as error:
            refusal = refusal or error
            with contextlib.suppress(OSError):
                os.rmdir(folder)  # noqa: PTH106
        else:
            return folder
    raise refusal or OSError("there is no group")


def _upwards(group: str) -> Iterator[str]:
    """A group of version 2 and those above it, as far as this process sees the tree."""
    tops = [point for point, _, mounted in _cgroup_mounts() if mounted == ("",)]
    for path in (group, *map(str, PurePath(group).parents)):
        if any(_is_in(path, top) for top in tops):
            yield path


def _offered(group: str) -> set[str]:
    try:
        return set(read(f"{group}/cgroup.controllers").split())
    except OSError:
        return set()


def _cgroup_mounts() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(mount point, root, controllers) of each mounted tree; version 2's controllers are ("",)."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:  # noqa: PTH123
        for line in lines:
            left, _, right = line.partition(" - ")
            fields, (kind, _, options) = left.split(), right.split()[:3]
            if kind == "cgroup2":
                yield fields[4], fields[3], ("",)
            elif kind == "cgroup":
                yield fields[4], fields[3], tuple(options.split(","))


def _below(root: str, path: str) -> str:
    relative = path.removeprefix(root.rstrip("/")) if path.startswith(root) else path
    return relative.rstrip("/")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")

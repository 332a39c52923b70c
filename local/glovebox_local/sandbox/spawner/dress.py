"""Puts an image's files into a sandbox that is made: a copy-on-write view, whatever their size.

The layers of an image are file systems in memory that the server holds; what is in them belongs to
user 1000. Each sandbox sees them through its own user namespace, in which that is its own user, so
it may change, rename or remove anything below its folders and never the image.
"""

from __future__ import annotations

import contextlib
import os

from glovebox_local.sandbox import linux, mounting

_INSIDE_UID = 1000
_CONTENT = "content"
_WORK = "work"
# Where the SDK's pip_install and npm_install look for them, as absolute names.
_PROGRAMS = "/usr/local/bin"
_SCRIPTS = {
    "pip3": '#!/bin/sh\nexec python -m pip "$@"\n',
    "npm": '#!/bin/sh\nexec /usr/bin/npm "$@"\n',
}


def put_on(
    first_pid: int,
    sandbox_fd: int,
    uid: int,
    size_bytes: int,
    places: tuple[str, ...],
    layers: list[int],
    fresh: int | None,
) -> None:
    """Mount the view of ``layers`` (the uppermost first) at each of ``places`` in the sandbox.

    Changes go to a new file system of ``size_bytes``, or to ``fresh``, an empty one: that of a
    build, which also gets the programs that builds expect. ``uid`` is the host's user for the
    sandbox. Call it before anything of that user runs. Raises ``OSError``; the sandbox is then
    useless.
    """
    with contextlib.ExitStack() as closing:

        def held(descriptor: int) -> int:
            closing.callback(os.close, descriptor)
            return descriptor

        userns = held(os.open(f"/proc/{first_pid}/ns/user", os.O_RDONLY))
        upper = held(mounting.tmpfs(size_bytes)) if fresh is None else fresh
        names = [place.strip("/") for place in places]
        _prepare(upper, names)
        own = held(mounting.owned(upper, "", userns, writable=True))
        views = []
        for name in names:
            parts = [f"{_CONTENT}/{name}"]
            lowers = [
                held(mounting.owned(layer, parts[0], userns, writable=False)) for layer in layers
            ]
            if not lowers:
                views.append(held(mounting.owned(upper, parts[0], userns, writable=True)))
                continue
            folders = [
                held(os.open(f"{part}/{name}", os.O_PATH | os.O_DIRECTORY, dir_fd=own))
                for part in (_CONTENT, _WORK)
            ]
            # The kernel keeps the maker's identity for its own work on the folders: without the
            # sandbox's it may not write there, and without root's it could not read every file.
            with linux.privileged_as(uid):
                views.append(held(mounting.overlay(lowers, *folders)))
        targets = list(places)
        if fresh is not None and os.path.isdir(_PROGRAMS):  # noqa: PTH112 - no pathlib here
            views.append(held(_build_programs(fresh)))
            targets.append(_PROGRAMS)
        home = held(os.open("/proc/self/ns/mnt", os.O_RDONLY))
        linux.setns(sandbox_fd, linux.CLONE_NEWNS)
        try:
            for view, place in zip(views, targets, strict=True):
                mounting.attach(view, place)
        finally:
            linux.setns(home, linux.CLONE_NEWNS)


def _prepare(upper: int, names: list[str]) -> None:
    for part in (_CONTENT, _WORK):
        os.mkdir(part, 0o755, dir_fd=upper)
        for name in names:
            os.mkdir(f"{part}/{name}", 0o755, dir_fd=upper)
            # As the view sees it: the sandbox's own user.
            os.chown(f"{part}/{name}", _INSIDE_UID, _INSIDE_UID, dir_fd=upper)


def _build_programs(fresh: int) -> int:
    """A build's /usr/local/bin: the machine's, and the programs that the SDK expects there."""
    os.mkdir("programs", 0o755, dir_fd=fresh)
    folder = os.open("programs", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fresh)
    machine = os.open(_PROGRAMS, os.O_PATH | os.O_DIRECTORY)
    try:
        for name, script in _SCRIPTS.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            program = os.open(name, flags, 0o755, dir_fd=folder)
            os.write(program, script.encode())
            os.close(program)
        return mounting.merged(folder, machine)
    finally:
        os.close(folder)
        os.close(machine)

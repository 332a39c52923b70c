"""Covers what no sandbox may read of /proc, in a sandbox that is made and not used yet.

bwrap can do it too, but reads the whole table of mounts for every single file.
"""

from __future__ import annotations

import os

from glovebox_local.sandbox import linux, mounting


def cover(sandbox_fd: int, files: tuple[str, ...]) -> None:
    """Put nothing over each of ``files`` in the sandbox that ``sandbox_fd`` (a pidfd) names.

    Raises ``OSError``; the sandbox must then not be used.
    """
    if not files:
        return
    views: list[int] = []
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        views.extend(mounting.blank() for _ in files)
        linux.setns(sandbox_fd, linux.CLONE_NEWNS)
        try:
            for view, file in zip(views, files, strict=True):
                mounting.attach(view, file)
        finally:
            linux.setns(home, linux.CLONE_NEWNS)
    finally:
        for descriptor in (home, *views):
            os.close(descriptor)

"""Changes in a sandbox's folder as they happen, from the kernel's inotify.

The folder is opened confined, as every file of a sandbox is, and what is watched is that folder
itself: whatever its name leads to later, and whatever links it holds, nothing is followed. The
folders in it are not watched in turn.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MODIFY, _ATTRIB, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_WANTED = (
    _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
)
_KINDS = {
    _CREATE: "created",
    _MOVED_TO: "created",
    _MODIFY: "modified",
    _ATTRIB: "modified",
    _DELETE: "deleted",
    _MOVED_FROM: "deleted",
}
_HEADER = struct.Struct("iIII")
_READ_BYTES = 64 * 1024
# Both halves of a renaming are told one right after the other, but not always in one piece.
_SECOND_HALF_SECONDS = 0.02
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to which name in the folder; "" is what is watched itself.

    ``kind`` is ``created``, ``modified``, ``deleted`` or ``renamed`` (then with ``new_name``);
    ``overflow`` if there were more changes than the kernel remembers.
    """

    kind: str
    name: str
    new_name: str | None = None


class Watch:
    """One watched folder or file."""

    def __init__(self, target_fd: int) -> None:
        """``target_fd`` names what is watched; the caller closes it. Raises ``OSError``."""
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._loop = asyncio.get_running_loop()
        self._first_half: tuple[int, str] | None = None
        try:
            # By the descriptor and not by a name: nothing can be put in between.
            path = f"/proc/self/fd/{target_fd}".encode()
            _checked(_libc.inotify_add_watch(self._fd, path, _WANTED))
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """End the watch."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    async def changes(self) -> tuple[list[Change], bool]:
        """The next changes, and whether there can be more after them."""
        while True:
            await self._readable()
            found, more = self._read()
            if self._first_half is not None:
                await asyncio.sleep(_SECOND_HALF_SECONDS)
                later, more_later = self._read()
                found += later
                more = more and more_later
                found += self._moved_away()
            if found or not more:
                return found, more

    async def _readable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        self._loop.add_reader(self._fd, wake)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._fd)

    def _read(self) -> tuple[list[Change], bool]:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return [], True
        found: list[Change] = []
        more = True
        for mask, cookie, name in _events(data):
            if mask & (_IGNORED | _UNMOUNT):
                more = False
            elif mask & _OVERFLOW:
                found.append(Change("overflow", ""))
            elif mask & (_DELETE_SELF | _MOVE_SELF):
                found.append(Change("deleted" if mask & _DELETE_SELF else "renamed", ""))
                more = False
            else:
                found += self._change(mask, cookie, name)
        return found, more

    def _change(self, mask: int, cookie: int, name: str) -> list[Change]:
        if mask & _MOVED_TO and self._first_half is not None and self._first_half[0] == cookie:
            old, self._first_half = self._first_half[1], None
            return [Change("renamed", old, name)]
        before = self._moved_away()
        if mask & _MOVED_FROM:
            self._first_half = (cookie, name)
            return before
        kind = next((kind for bit, kind in _KINDS.items() if mask & bit), None)
        return [*before, Change(kind, name)] if kind else before

    def _moved_away(self) -> list[Change]:
        """What left the folder and did not come back under another name."""
        half, self._first_half = self._first_half, None
        return [Change("deleted", half[1])] if half else []


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    place = 0
    while place + _HEADER.size <= len(data):
        _, mask, cookie, length = _HEADER.unpack_from(data, place)
        place += _HEADER.size
        yield mask, cookie, os.fsdecode(data[place : place + length].rstrip(b"\0"))
        place += length


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

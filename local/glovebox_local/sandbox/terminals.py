"""Terminals of a sandbox: made in its own /dev/pts, with this end of them here."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios

from glovebox_local.sandbox.files import SandboxFiles

_GET_PEER = 0x5441  # TIOCGPTPEER, not named by Python: opens the other end without its path
_UNLOCK = 0x4004_5431  # TIOCSPTLCK
_MAX_CELLS = 4096
_MAX_UNREAD_BYTES = 1024 * 1024


def open_terminal(files: SandboxFiles) -> tuple[int, int]:
    """A new terminal: (our end, the program's end), both the caller's.

    It belongs to the sandbox's user, and has a name in the sandbox. Raises ``ApiError``.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
    ours = files.open_system("dev/pts/ptmx", flags)
    try:
        fcntl.ioctl(ours, _UNLOCK, struct.pack("i", 0))
        theirs = fcntl.ioctl(ours, _GET_PEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except BaseException:
        os.close(ours)
        raise
    return ours, theirs


class Keyboard:
    """Types into a terminal, whether or not its program reads at the moment, and sizes it.

    It holds the terminal by a descriptor of its own: the screen's closes when the program ends.
    """

    def __init__(self, terminal: int) -> None:
        self._fd = os.dup(terminal)
        self._unread = bytearray()
        self._loop = asyncio.get_running_loop()

    def type(self, text: str) -> bool:
        """Take some input; False (and nothing taken) if the program is too far behind."""
        data = text.encode(errors="replace")
        if len(self._unread) + len(data) > _MAX_UNREAD_BYTES:
            return False
        idle = not self._unread
        self._unread += data
        if idle:
            self._write()
        return True

    def resize(self, columns: int, rows: int) -> None:
        """Set the size in character cells; programs on the terminal hear of it."""
        cells = (max(1, min(rows, _MAX_CELLS)), max(1, min(columns, _MAX_CELLS)))
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", *cells, 0, 0))

    def close(self) -> None:
        """Let go of the terminal."""
        self._loop.remove_writer(self._fd)
        os.close(self._fd)

    def _write(self) -> None:
        try:
            while self._unread:
                del self._unread[: os.write(self._fd, self._unread)]
        except BlockingIOError:
            self._loop.add_writer(self._fd, self._write)
            return
        except OSError:  # nobody is at the other end any more
            self._unread.clear()
        self._loop.remove_writer(self._fd)

"""Programs that run in a sandbox: their output, their end, their timeout."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import Callable

from glovebox_local.sandbox.keeper_link import Keeper
from glovebox_local.sandbox.limits import Counts, Limit
from glovebox_local.sandbox.output import HeadAndTail

_PIECE_BYTES = 65536
_MAX_PIPE_BYTES = 1024 * 1024
_KILL_SECONDS = 5.0
# What a follower may be behind before the program has to wait for it.
_MAX_BEHIND_BYTES = 256 * 1024


class Stream:
    """The read end of a pipe (or our end of a terminal), emptied as it fills.

    What comes is kept, head and tail, until somebody follows: a follower takes every byte, and
    where it is slow the program that writes has to wait.
    """

    __slots__ = ("_behind", "_loop", "_paused", "_wake", "closed", "fd", "kept")

    def __init__(self, fd: int, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self.fd = fd
        self.kept = HeadAndTail(limit)
        self.closed: asyncio.Future[None] = loop.create_future()
        """Done once every writer has closed the stream, or we gave it up."""
        self._loop = loop
        self._wake: Callable[[], None] | None = None
        self._behind = b""
        self._paused = False
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._read_some)

    def follow(self, wake: Callable[[], None] | None) -> None:
        """From now on ``take`` gets what comes, and ``wake`` is told of it; None ends that.

        What came before that and was not looked at is the first that it gets.
        """
        self._wake = wake
        self._resume()
        if wake is None:
            self._behind = b""
        else:
            self._behind += self.kept.take()
            wake()

    def take(self) -> bytes:
        """What came since the last time, for a follower."""
        taken, self._behind = self._behind, b""
        self._resume()
        return taken

    def empty(self) -> None:
        """Take what is there now; of a stream that fills as fast, what a pipe holds at most."""
        left = _MAX_PIPE_BYTES
        while left > 0 and not self.closed.done() and (size := self._read_some()):
            left -= size

    def close(self) -> None:
        """Give the stream up: whoever still writes to it gets SIGPIPE."""
        if not self.closed.done():
            self._loop.remove_reader(self.fd)
            os.close(self.fd)
            self.closed.set_result(None)
            if self._wake is not None:
                self._wake()

    def _read_some(self) -> int:
        try:
            piece = os.read(self.fd, _PIECE_BYTES)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose other end is closed
                raise
            piece = b""
        if not piece:
            self.close()
            return 0
        if self._wake is None:
            self.kept.add(piece)
        else:
            self._follow(piece, self._wake)
        return len(piece)

    def _follow(self, piece: bytes, wake: Callable[[], None]) -> None:
        self._behind += piece
        if len(self._behind) >= _MAX_BEHIND_BYTES and not self._paused:
            self._paused = True
            self._loop.remove_reader(self.fd)
        wake()

    def _resume(self) -> None:
        if self._paused and not self.closed.done():
            self._paused = False
            self._loop.add_reader(self.fd, self._read_some)


class Process:
    """One program in a sandbox. ``start`` makes it; it goes on until it ends or is killed."""

    def __init__(self, keeper: Keeper, limit: int, drain_seconds: float) -> None:
        self._keeper = keeper
        self._limit = limit
        self._drain_seconds = drain_seconds
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._tag = -1
        self._timer: asyncio.TimerHandle | None = None
        self._streams: tuple[Stream, ...] = ()
        self.host_pid = 0
        self.started = time.monotonic()
        self.ended: float | None = None
        self.timed_out = False
        self.counts_before: Counts = (0, 0)
        self.limits_hit: list[Limit] = []
        """The limits that the sandbox ran into while a program that failed ran."""

    async def start(
        self, argv: list[str], environment: dict[str, str], directory: str, input_fd: int
    ) -> None:
        """Run the program with this input, its output kept; returns once it runs.

        Raises ``NotStartedError`` if it cannot, ``SpawnError`` if the sandbox is gone, and
        ``wire.TooLarge`` if arguments and environment are more than a process may have.
        """
        out_read, out_write = os.pipe()
        error_read, error_write = os.pipe()
        self.stdout = Stream(out_read, self._limit, self._loop)
        self.stderr = Stream(error_read, self._limit, self._loop)
        self._streams = (self.stdout, self.stderr)
        try:
            await self.launch(argv, environment, directory, (input_fd, out_write, error_write))
        except BaseException:
            self.release()
            raise
        finally:
            os.close(out_write)
            os.close(error_write)

    async def launch(
        self,
        argv: list[str],
        environment: dict[str, str],
        directory: str,
        standard: tuple[int, int, int],
    ) -> None:
        """As ``start``, with the caller's input, output and errors (which the caller closes)."""
        self._tag, self.host_pid = await self._keeper.start(
            argv, environment, directory, standard, self._on_exit
        )

    async def outcome(self) -> int:
        """The wait status as soon as it ends, -1 if the sandbox ended first."""
        return await asyncio.shield(self._exit)

    def on_end(self, act: Callable[[], None]) -> None:
        """Do this when it has ended."""
        self._exit.add_done_callback(lambda _: act())

    async def wait(self, timeout_seconds: float) -> int | None:
        """The wait status, with the output complete; None if the sandbox ended first.

        At the timeout the program's process group is killed, and ``timed_out`` set.
        """
        timer = self._loop.call_later(timeout_seconds, self._time_out)
        try:
            status = await asyncio.shield(self._exit)
        finally:
            timer.cancel()
        await self._drain()
        return None if status < 0 else status

    def kill_after(self, timeout_seconds: float) -> None:
        """Kill it once it has run this long; for a program that nobody waits for."""
        self._timer = self._loop.call_later(timeout_seconds, self._time_out)

    @property
    def running(self) -> bool:
        """Whether the program itself (not what it left behind) still runs."""
        return not self._exit.done()

    def wait_status(self) -> int | None:
        """How it ended, as ``os.wait`` says it; None while it runs."""
        return self._exit.result() if self._exit.done() else None

    def kill(self) -> None:
        """Kill the program and all of its process group, if it still runs."""
        self._keeper.signal(self._tag, int(signal.SIGKILL))

    def release(self) -> None:
        """Let go of its streams."""
        for stream in self._streams:
            stream.close()

    def _time_out(self) -> None:
        if not self.running:
            return
        self.timed_out = True
        # A keeper that does not answer must not keep the caller past its timeout.
        self._loop.call_later(_KILL_SECONDS, self._on_exit, -1)
        self.kill()

    def _on_exit(self, status: int) -> None:
        if not self._exit.done():
            self.ended = time.monotonic()
            self._exit.set_result(status)
            if self._timer is not None:
                self._timer.cancel()

    async def _drain(self) -> None:
        """Take what the program wrote. What it left running may hold the streams open for ever."""
        for stream in self._streams:
            stream.empty()
        still_open = [stream.closed for stream in self._streams if not stream.closed.done()]
        if still_open:
            await asyncio.wait(still_open, timeout=self._drain_seconds)


def exit_code(wait_status: int) -> int:
    """As shells tell it: the code, or 128 and the signal's number."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code

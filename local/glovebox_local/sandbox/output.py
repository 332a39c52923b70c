"""What is kept of a stream that nobody may be made to wait for."""

from __future__ import annotations

from collections import deque


class HeadAndTail:
    """The first and the last half of ``limit`` bytes, whatever comes between.

    A test that floods its output must neither fill the service's memory nor be stopped by a pipe
    that nobody empties, so everything is taken and the middle is dropped.
    """

    __slots__ = ("_head", "_head_room", "_tail", "_tail_limit", "_tail_size", "dropped")

    def __init__(self, limit: int) -> None:
        self._head: list[bytes] = []
        self._head_room = limit - limit // 2
        self._tail: deque[bytes] = deque()
        self._tail_limit = limit // 2
        self._tail_size = 0
        self.dropped = 0
        """Bytes that were taken and not kept."""

    def add(self, piece: bytes) -> None:
        """Take the next piece of the stream."""
        if self._head_room:
            self._head.append(piece[: self._head_room])
            piece = piece[self._head_room :]
            self._head_room -= len(self._head[-1])
        if not piece:
            return
        self._tail.append(piece)
        self._tail_size += len(piece)
        while self._tail_size - len(self._tail[0]) >= self._tail_limit:
            gone = self._tail.popleft()
            self._tail_size -= len(gone)
            self.dropped += len(gone)
            if not self._tail:
                break
        self._cut()

    def _cut(self) -> None:
        excess = self._tail_size - self._tail_limit
        if excess > 0:
            first = self._tail.popleft()
            self._tail.appendleft(first[excess:])
            self._tail_size -= excess
            self.dropped += excess

    def take(self) -> bytes:
        """What was kept, which is then kept no more."""
        taken = b"".join(self._head) + b"".join(self._tail)
        self._head_room += sum(map(len, self._head))
        self._head.clear()
        self._tail.clear()
        self._tail_size = 0
        return taken

    def text(self) -> str:
        """What was kept, as text; a line between the halves says how much is missing."""
        head, tail = b"".join(self._head), b"".join(self._tail)
        if not self.dropped:
            return (head + tail).decode(errors="replace")
        gap = f"\n[... {self.dropped} bytes left out ...]\n"
        return head.decode(errors="replace") + gap + tail.decode(errors="replace")

"""Carries what a program prints to a WebSocket while it prints it; nothing is left out.

A client that is behind makes the program wait: a few hundred KiB stand between them at most.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from collections.abc import AsyncIterator

from glovebox_local.sandbox.processes import Process, Stream
from glovebox_local.sandbox.sockets import Socket, SocketClosed

_LAST_SECONDS = 10.0


class Relay:
    """Follows some streams, each under the name that its messages have."""

    def __init__(self, socket: Socket, streams: dict[str, Stream]) -> None:
        self._socket = socket
        self._streams = streams
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in streams
        }
        self._news = asyncio.Event()
        self._last = False
        for stream in streams.values():
            stream.follow(self._news.set)

    async def run(self) -> None:
        """Carry on until ``finish``, and then what is left. Raises ``SocketClosed``."""
        while True:
            await self._news.wait()
            self._news.clear()
            last = self._last
            for name, stream in self._streams.items():
                text = self._decoders[name].decode(stream.take(), final=last)
                if text:
                    await self._socket.text(name, text)
            if last:
                return

    def finish(self) -> None:
        """Nothing more is to come than what the streams hold."""
        for stream in self._streams.values():
            stream.empty()
        self._last = True
        self._news.set()

    def stop(self) -> None:
        """Follow no more: from now on the streams keep what comes."""
        for stream in self._streams.values():
            stream.follow(None)


@contextlib.asynccontextmanager
async def relayed(socket: Socket, process: Process) -> AsyncIterator[None]:
    """Within, what the process prints goes to the socket; at the end all of it went."""
    relay = Relay(socket, {"stdout": process.stdout, "stderr": process.stderr})
    carrying = asyncio.create_task(relay.run())
    try:
        try:
            yield
        finally:
            relay.finish()
        await carrying
    except Exception:
        # Late or lost: what it had printed is worth sending, not worth waiting for.
        with contextlib.suppress(SocketClosed, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await carrying
        raise
    finally:
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)
        relay.stop()

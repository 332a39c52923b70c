"""A WebSocket of an agent, as a test talks over it."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.sandbox.client import Box

# What the vendor's clients accept in one message.
LARGEST = 1024 * 1024


class Conversation:
    """One connection; every message is checked to be one that the vendor's clients take."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def hear(self, timeout: float = 20) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.connection.recv(timeout))
        return message

    def hear_until(self, kind: str, timeout: float = 20) -> list[dict[str, Any]]:
        """All messages up to the first of this type."""
        heard = [self.hear(timeout)]
        while heard[-1]["type"] != kind:
            heard.append(self.hear(timeout))
        return heard

    def hear_the_end(self) -> tuple[int | None, list[dict[str, Any]]]:
        """What the service closes the conversation with, and all that comes before."""
        heard: list[dict[str, Any]] = []
        try:
            while True:
                heard.append(self.hear())
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None, heard

    def vanish(self) -> None:
        """As a client whose machine is gone: no goodbye."""
        self.connection.socket.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def conversation(box: Box, path: str, token: str | None = None) -> Iterator[Conversation]:
    headers = {"Authorization": f"Bearer {box.token if token is None else token}"}
    url = box.url.replace("http://", "ws://") + path
    with connect(url, additional_headers=headers, max_size=LARGEST, close_timeout=1) as connection:
        yield Conversation(connection)


def text_of(messages: list[dict[str, Any]], kind: str) -> str:
    return "".join(message["data"] for message in messages if message["type"] == kind)

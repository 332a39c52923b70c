"""What the SDK asked for and was answered, taken from the HTTP libraries that it uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import pytest
from yarl import URL


@dataclass(frozen=True)
class Exchange:
    """One request and the status of its answer."""

    method: str
    base: str
    path: str
    status: int


@contextmanager
def recorded() -> Iterator[set[Exchange]]:
    """Collect the exchanges of everything in this process meanwhile."""
    seen: set[Exchange] = set()
    send, send_async = httpx.Client.send, httpx.AsyncClient.send
    request = aiohttp.ClientSession._request

    def note(method: str, url: Any, path: str, status: int) -> None:
        seen.add(Exchange(method, f"{url.scheme}://{url.host}:{url.port}", path, status))

    def sending(self: httpx.Client, sent: httpx.Request, **given: Any) -> httpx.Response:
        answer = send(self, sent, **given)
        note(sent.method, sent.url, sent.url.path, answer.status_code)
        return answer

    async def sending_async(
        self: httpx.AsyncClient, sent: httpx.Request, **given: Any
    ) -> httpx.Response:
        answer = await send_async(self, sent, **given)
        note(sent.method, sent.url, sent.url.path, answer.status_code)
        return answer

    async def requesting(
        self: aiohttp.ClientSession, method: str, url: str, **given: Any
    ) -> aiohttp.ClientResponse:
        answer = await request(self, method, url, **given)
        note(method, URL(url), URL(url).path, answer.status)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.Client, "send", sending)
        patch.setattr(httpx.AsyncClient, "send", sending_async)
        patch.setattr(aiohttp.ClientSession, "_request", requesting)
        yield seen

"""The SDK's two HTTP clients, told to try once, with the whole truth about what went wrong.

Pinned: hopx-ai 0.5.0. Single modules of it, since the whole costs every launcher half a second.
"""

from __future__ import annotations

import mimetypes
import threading
from typing import Any

import httpx

from glovebox.adapters import hopx_parts
from glovebox.adapters.hopx_address import Address
from glovebox.adapters.hopx_trouble import Trouble, from_exception, from_response
from glovebox.adapters.hopx_wire import Wire, prepare_process
from glovebox.ports import Clock

# In one block: what the two share is imported once.
with hopx_parts.without_the_whole():
    from hopx_ai._agent_client import AgentHTTPClient
    from hopx_ai._client import HTTPClient

IDLE_SECONDS = 60
"""Of one read or write; the patience of each request is what bounds it."""


class ControlClient(HTTPClient):  # type: ignore[misc]  # the SDK has no types
    """Asks the control plane. Thread-safe."""

    def __init__(self, base_url: str, api_key: str, clock: Clock) -> None:
        prepare_process()
        super().__init__(api_key, base_url, timeout=IDLE_SECONDS, max_retries=0)
        Wire.under(self._client)
        self._client.event_hooks["response"] = [self._see]
        self._clock = clock
        self._seen = threading.local()

    def once(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """Ask once. Raises Trouble, whatever the SDK raises or lets through."""
        self._seen.bodiless = False
        try:
            answer = self.request(method, path, json=body)
        except Exception as error:
            trouble = from_exception(error)
            trouble.empty = self._seen.bodiless
            raise trouble from error
        if not isinstance(answer, dict):
            raise Trouble(f"an answer that is no object but {type(answer).__name__}")
        return answer

    def _see(self, response: httpx.Response) -> None:
        self._seen.bodiless = response.is_success and not response.read()

    def _handle_error(self, response: httpx.Response) -> None:
        trouble = from_response(response, self._clock.now())
        # A provider may say which key it does not like.
        trouble.words = trouble.words.replace(self.api_key, "…")
        raise trouble


class AgentClient(AgentHTTPClient):  # type: ignore[misc]  # the SDK has no types
    """Asks the agent of one sandbox."""

    def __init__(self, address: Address, clock: Clock) -> None:
        super().__init__(address.url, jwt_token=address.token, timeout=IDLE_SECONDS, max_retries=1)
        # Code in a sandbox may speak for the agent: no small answer that unpacks to a large one.
        self._client.headers["Accept-Encoding"] = "identity"
        self._client.event_hooks["response"] = [_refuse_packed]
        self._wire = Wire.under(self._client)
        self._clock = clock

    def cut(self) -> None:
        """End the calls under way."""
        self._wire.cut()

    def download(self, path: str, limit: int) -> bytes | None:
        """A file's bytes, or nothing where it is longer.

        Not through the SDK's own download: it decodes whatever looks like base64.
        """
        url = f"{self._agent_url}/files/download"
        content = bytearray()
        with self._client.stream("GET", url, params={"path": path}) as answer:
            if answer.status_code != 200:
                answer.read()
                raise self._refusal(answer)
            _refuse_pages(answer, path)
            for chunk in answer.iter_raw():
                content += chunk
                if len(content) > limit:
                    return None
        return bytes(content)

    def _wrap_error(self, error: Exception, *_: Any) -> Trouble:
        if isinstance(error, httpx.HTTPStatusError):
            return self._refusal(error.response)
        return from_exception(error)

    def _refusal(self, response: httpx.Response) -> Trouble:
        trouble = from_response(response, self._clock.now())
        trouble.words = trouble.words.replace(str(self._jwt_token), "…")
        return trouble


def _refuse_pages(answer: httpx.Response, path: str) -> None:
    """A gateway may say 200 and mean itself: a page or an object is no file, unless that was
    asked for. The agent's description says application/octet-stream."""
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/json") and kind != mimetypes.guess_type(path)[0]:
        raise Trouble(f"{kind} in a file's place")


def _refuse_packed(response: httpx.Response) -> None:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Trouble("a compressed answer that was not asked for")

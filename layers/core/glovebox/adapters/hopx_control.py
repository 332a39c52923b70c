"""HopX's control plane, asked again by rules of our own."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from glovebox.adapters.hopx_address import token_of
from glovebox.adapters.hopx_clients import ControlClient
from glovebox.adapters.hopx_patience import Patience, persist
from glovebox.adapters.hopx_trouble import Trouble
from glovebox.domain.errors import SandboxRefused, SandboxUnavailable
from glovebox.ports import Clock

ASK = Patience(tries=4, try_seconds=10, seconds=20)
"""For requests that change nothing, or the same again."""
UNSAID_WISH_SECONDS = 5.0
"""When to come again where there are too many for now, and the provider does not say when."""
LOOK = Patience(tries=1, try_seconds=5, seconds=5)
"""For a question on the side."""
_DEAD = frozenset({"stopped", "paused", "error", "failed", "deleted", "killed", "terminated"})


class Presence(Enum):
    """What the control plane says about a sandbox."""

    THERE = "there"
    GONE = "gone"
    UNKNOWN = "unknown"


class Control:
    """Requests to the control plane. Thread-safe."""

    def __init__(self, base_url: str, api_key: str, clock: Clock) -> None:
        self.base_url = base_url
        self.clock = clock
        self._client = ControlClient(base_url, api_key, clock)

    def request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        patience: Patience = ASK,
        worth: Callable[[Trouble], bool] = lambda trouble: trouble.is_passing,
        sound: Callable[[dict[str, Any]], bool] = lambda _answer: True,
    ) -> dict[str, Any]:
        """The object that was answered. Raises Trouble, also where it is not sound."""

        def ask() -> dict[str, Any]:
            answer = self._client.once(method, path, body)
            if not sound(answer):
                raise Trouble("the provider's answer is malformed")
            return answer

        return persist(ask, patience, self.clock, worth=worth)

    def presence(self, sandbox_id: str) -> Presence:
        """Whether a sandbox lives still; one quick question."""
        try:
            facts = self.request("GET", sandbox_path(sandbox_id), patience=LOOK)
        except Trouble as trouble:
            return Presence.GONE if trouble.status in (404, 410) else Presence.UNKNOWN
        status = facts.get("status")
        if not isinstance(status, str):
            return Presence.UNKNOWN
        return Presence.GONE if status in _DEAD else Presence.THERE

    def refresh_token(self, sandbox_id: str) -> str:
        """A new token for a sandbox's agent. Raises Trouble."""
        path = f"{sandbox_path(sandbox_id)}/token/refresh"
        answer = self.request("POST", path, sound=lambda told: token_of(told) is not None)
        return str(token_of(answer))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def sandbox_path(sandbox_id: str) -> str:
    """Where a sandbox stands; an id is data and nothing else."""
    return f"/v1/sandboxes/{quote(sandbox_id, safe='')}"


def refused_or_unavailable(trouble: Trouble) -> SandboxUnavailable | SandboxRefused:
    """The trouble as ours."""
    if trouble.is_passing or trouble.is_limit:
        wish = trouble.retry_after_seconds
        if wish is None and (trouble.status == HTTPStatus.TOO_MANY_REQUESTS or trouble.is_limit):
            wish = UNSAID_WISH_SECONDS
        return SandboxUnavailable(trouble.words, retry_after_seconds=wish)
    return SandboxRefused(trouble.words)

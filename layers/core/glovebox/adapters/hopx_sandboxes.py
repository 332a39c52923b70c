"""HopX sandboxes, hosted and local alike: only the base URL differs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakSet

from glovebox.adapters.hopx_address import Address, agent_url_of, sandbox_id_of, token_of
from glovebox.adapters.hopx_agent import HopxSandbox
from glovebox.adapters.hopx_control import Control, refused_or_unavailable, sandbox_path
from glovebox.adapters.hopx_listing import list_sandboxes
from glovebox.adapters.hopx_patience import Patience
from glovebox.adapters.hopx_trouble import Trouble
from glovebox.adapters.hopx_wire import CONTROL_BYTES, within
from glovebox.adapters.system import SystemClock
from glovebox.domain.errors import SandboxLost, SandboxUnavailable
from glovebox.ports import Clock, SandboxFacts, SandboxRequest

CREATE = Patience(tries=3, try_seconds=60, seconds=60)
"""A burst of a hundred creations was measured at 16 s each at the 99th percentile."""
KILL = Patience(tries=5, try_seconds=5, seconds=12)
CREATE_SECONDS = CREATE.seconds + KILL.seconds
"""What a creation may take at worst, with the end of a sandbox that is of no use."""


class HopxSandboxes:
    """Implements `ports.Sandboxes`. Thread-safe."""

    def __init__(self, base_url: str, api_key: str, clock: Clock | None = None) -> None:
        self._control = Control(base_url, api_key, clock or SystemClock())
        self._open: WeakSet[HopxSandbox] = WeakSet()
        self._lock = threading.Lock()

    def create(self, request: SandboxRequest) -> HopxSandbox:
        """Create a sandbox. Raises SandboxUnavailable or SandboxRefused.

        Repeated here only where nothing can have been created: HopX takes no key by which it
        would know a second request for the first. Elsewhere `possibly_created` is set.
        """
        body = {
            "template_name": request.image,
            "timeout_seconds": request.ttl_seconds,
            "internet_access": request.network,
        }
        until = self._control.clock.monotonic() + CREATE.seconds
        try:
            answer = self._control.request(
                "POST", "/v1/sandboxes", body, patience=CREATE, worth=_cannot_have_created
            )
        except Trouble as trouble:
            error = refused_or_unavailable(trouble)
            if isinstance(error, SandboxUnavailable):
                error.possibly_created = trouble.may_have_been_done
            raise error from trouble
        sandbox_id = sandbox_id_of(answer)
        if sandbox_id is None:
            reason = "the provider created a sandbox and did not say which"
            raise SandboxUnavailable(reason, possibly_created=True)
        try:
            with within(until - self._control.clock.monotonic(), CONTROL_BYTES):
                answer = self._completed(sandbox_id, answer)
            return self._sandbox(sandbox_id, answer)
        except SandboxUnavailable as error:
            self._undo(sandbox_id, error)
            raise

    def _completed(self, sandbox_id: str, answer: dict[str, Any]) -> dict[str, Any]:
        """What a creation answered; with what it should say and does not, asked for."""
        try:
            if not (answer.get("public_host") or answer.get("direct_url")):
                answer = {**self._facts(sandbox_id), **_known(answer)}
            if not answer.get("auth_token"):
                answer = {**answer, "auth_token": self._control.refresh_token(sandbox_id)}
        except Trouble as trouble:
            raise SandboxUnavailable(trouble.words, sandbox_id=sandbox_id) from trouble
        return answer

    def attach(self, sandbox_id: str) -> HopxSandbox:
        """Go on with a sandbox that somebody else created. Raises SandboxLost if it is gone."""
        try:
            facts = self._facts(sandbox_id)
            token = self._control.refresh_token(sandbox_id)
        except Trouble as trouble:
            if trouble.status in (404, 410):
                raise SandboxLost(trouble.words, sandbox_id=sandbox_id) from trouble
            error = refused_or_unavailable(trouble)
            error.sandbox_id = sandbox_id
            raise error from trouble
        return self._sandbox(sandbox_id, {**facts, "auth_token": token})

    def _facts(self, sandbox_id: str) -> dict[str, Any]:
        """A sandbox as the control plane describes it, with an address. Raises Trouble."""
        return self._control.request(
            "GET",
            sandbox_path(sandbox_id),
            sound=lambda told: agent_url_of(told, self._control.base_url) is not None,
        )

    def kill(self, sandbox_id: str) -> None:
        """End a sandbox; one that is gone already is no error. Raises SandboxUnavailable."""
        try:
            self._control.request(
                "DELETE", sandbox_path(sandbox_id), patience=KILL, worth=_may_live_still
            )
        except Trouble as trouble:
            if _may_live_still(trouble) or trouble.status not in (None, 404, 410):
                raise SandboxUnavailable(
                    trouble.words,
                    sandbox_id=sandbox_id,
                    retry_after_seconds=trouble.retry_after_seconds,
                ) from trouble
        with self._lock:
            mine = [made for made in self._open if made.sandbox_id == sandbox_id]
        for made in mine:
            made.retire()

    def list(self) -> Iterator[SandboxFacts]:
        """Every sandbox of the account. Raises SandboxUnavailable or SandboxRefused."""
        return list_sandboxes(self._control)

    def close(self) -> None:
        """Close all connections; sandboxes live on."""
        with self._lock:
            made = list(self._open)
        for sandbox in made:
            sandbox.retire()
        self._control.close()

    def _sandbox(self, sandbox_id: str, answer: Mapping[str, Any]) -> HopxSandbox:
        url = agent_url_of(answer, self._control.base_url)
        if url is None:
            raise SandboxUnavailable("no sound address for the sandbox", sandbox_id=sandbox_id)
        token = token_of(answer)
        if token is None:
            raise SandboxUnavailable("no sound token for the sandbox", sandbox_id=sandbox_id)
        made = HopxSandbox(self._control, sandbox_id, Address(url, token))
        with self._lock:
            self._open.add(made)
        return made

    def _undo(self, sandbox_id: str, error: SandboxUnavailable) -> None:
        try:
            self.kill(sandbox_id)
        except SandboxUnavailable:
            error.possibly_created = True


def _known(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value is not None}


def _cannot_have_created(trouble: Trouble) -> bool:
    # Who may create how much is decided elsewhere: a 429 goes there at once.
    return trouble.is_passing and not trouble.may_have_been_done and trouble.status != 429


def _may_live_still(trouble: Trouble) -> bool:
    return trouble.is_passing and not trouble.empty

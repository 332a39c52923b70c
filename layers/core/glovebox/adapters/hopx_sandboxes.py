"""HopX sandboxes, hosted and local alike: only the base URL differs.

The SDK's own convenience (`Sandbox.create`, `commands.run`) repeats requests that must not be
repeated and reads a missing exit code as 0, so this adapter stands on the SDK's two HTTP
clients, told not to retry, and reads answers strictly. Pinned: hopx-ai 0.5.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import httpx

from glovebox.adapters.hopx_control import (
    SDK_ERRORS,
    AgentHTTPClient,
    NotFoundError,
    control_call,
    make_client,
    words,
)
from glovebox.adapters.hopx_listing import list_sandboxes
from glovebox.domain.errors import SandboxLost, SandboxRefused, SandboxUnavailable
from glovebox.ports import CommandAnswer, SandboxFacts, SandboxRequest

CREATE_SECONDS = 60
"""A burst of a hundred creations was measured at 16 s each at the 99th percentile."""
UPLOAD_SECONDS = 60
READY_SECONDS = 30
"""How long an agent may take to answer after its sandbox was created."""
T = TypeVar("T")


class HopxSandboxes:
    """Implements `ports.Sandboxes`. Thread-safe."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._control = make_client(base_url, api_key, CREATE_SECONDS)

    def create(self, request: SandboxRequest) -> HopxSandbox:
        """Create a sandbox. Raises SandboxUnavailable or SandboxRefused."""
        body = {
            "template_name": request.image,
            "timeout_seconds": request.ttl_seconds,
            "internet_access": request.network,
        }
        answer = control_call(lambda: self._control.post("/v1/sandboxes", json=body))
        sandbox_id = answer.get("id")
        if not isinstance(sandbox_id, str) or not sandbox_id:
            raise SandboxUnavailable("the provider created a sandbox and did not say which")
        try:
            return self._sandbox(sandbox_id, answer)
        except SandboxUnavailable:
            self.kill(sandbox_id)
            raise

    def attach(self, sandbox_id: str) -> HopxSandbox:
        """Go on with a sandbox that somebody else created. Raises SandboxLost if it is gone."""
        try:
            facts = control_call(lambda: self._control.get(f"/v1/sandboxes/{sandbox_id}"))
            token = control_call(
                lambda: self._control.post(f"/v1/sandboxes/{sandbox_id}/token/refresh")
            )
        except SandboxRefused as error:
            raise SandboxLost(error.reason, sandbox_id=sandbox_id) from error
        return self._sandbox(sandbox_id, {**facts, **token})

    def _sandbox(self, sandbox_id: str, answer: Mapping[str, Any]) -> HopxSandbox:
        host, token = (
            answer.get("public_host") or answer.get("direct_url"),
            answer.get("auth_token"),
        )
        if not isinstance(host, str) or not host.startswith(("http://", "https://")):
            raise SandboxUnavailable("no address for the sandbox", sandbox_id=sandbox_id)
        if not isinstance(token, str):
            raise SandboxUnavailable("no token for the sandbox", sandbox_id=sandbox_id)
        return HopxSandbox(sandbox_id, host, token)

    def kill(self, sandbox_id: str) -> None:
        """End a sandbox; one that is gone already is no error. Raises SandboxUnavailable."""
        try:
            self._control.delete(f"/v1/sandboxes/{sandbox_id}")
        except NotFoundError:
            return
        except ValueError:
            return  # deleted, with an empty answer
        except SDK_ERRORS as error:
            raise SandboxUnavailable(words(error), sandbox_id=sandbox_id) from error

    def list(self) -> Iterator[SandboxFacts]:
        """Every sandbox of the account. Raises SandboxUnavailable or SandboxRefused."""
        return list_sandboxes(self._control)


class HopxSandbox:
    """Implements `ports.Sandbox`."""

    def __init__(self, sandbox_id: str, host: str, token: str) -> None:
        self._sandbox_id = sandbox_id
        # One try: the SDK would post a command again that may be running.
        self._agent = AgentHTTPClient(host, jwt_token=token, timeout=30, max_retries=1)

    @property
    def sandbox_id(self) -> str:
        """The provider's id."""
        return self._sandbox_id

    def upload(self, path: str, content: bytes) -> None:
        """Write a file. Repeated once the agent answers, where it did not at first."""
        try:
            self._upload(path, content)
        except SandboxLost:
            self._wait_until_ready()
            self._upload(path, content)

    def _upload(self, path: str, content: bytes) -> None:
        self._call(
            lambda: self._agent.post(
                "/files/upload",
                files={"file": ("upload", content, "application/octet-stream")},
                data={"path": path},
                operation="upload file",
                timeout=UPLOAD_SECONDS,
            )
        )

    def _wait_until_ready(self) -> None:
        """The SDK's own wait may take ten minutes and then carries on silently."""
        transport = httpx.HTTPTransport(retries=2)
        with httpx.Client(transport=transport, timeout=READY_SECONDS) as client:
            url = f"{self._agent._agent_url}/health"
            try:
                client.get(url).raise_for_status()
            except httpx.HTTPError as error:
                raise SandboxUnavailable(words(error), sandbox_id=self._sandbox_id) from error

    def run(self, command: str, *, env: Mapping[str, str], timeout_seconds: float) -> CommandAnswer:
        """Run a bash command. A missing exit code stays missing."""
        body = {
            "command": "bash",
            "args": ["-c", command],
            "timeout": int(timeout_seconds),
            "workdir": "/workspace",
            "env": dict(env),
        }
        answer = self._call(
            lambda: self._agent.post(
                "/commands/run",
                json=body,
                operation="run command",
                timeout=int(timeout_seconds) + 10,
            ).json()
        )
        if not isinstance(answer, dict):
            raise SandboxLost("a malformed answer to a command", sandbox_id=self._sandbox_id)
        code = answer.get("exit_code")
        return CommandAnswer(
            exit_code=code if type(code) is int else None,
            stdout=str(answer.get("stdout") or ""),
            stderr=str(answer.get("stderr") or ""),
        )

    def download(self, path: str, *, limit: int) -> bytes:
        """Read a file of at most `limit` bytes; a longer one raises SandboxLost."""
        return self._call(lambda: self._download(path, limit))

    def _download(self, path: str, limit: int) -> bytes:
        # Not through the SDK's own download: it decodes whatever looks like base64.
        url = f"{self._agent._agent_url}/files/download"
        content = bytearray()
        with self._agent._client.stream("GET", url, params={"path": path}, timeout=60) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > limit:
                    message = f"{path} is longer than {limit} bytes"
                    raise SandboxLost(message, sandbox_id=self._sandbox_id)
        return bytes(content)

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except SDK_ERRORS as error:
            raise SandboxLost(words(error), sandbox_id=self._sandbox_id) from error

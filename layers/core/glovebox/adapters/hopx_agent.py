"""One HopX sandbox: its agent, asked again where that is harmless.

The SDK's own convenience (`commands.run`) repeats by rules of its own and reads a missing exit
code as 0, so this stands on the SDK's HTTP client, told to try once, and reads answers strictly.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from glovebox.adapters.hopx_address import Address
from glovebox.adapters.hopx_clients import AgentClient
from glovebox.adapters.hopx_control import Control, Presence
from glovebox.adapters.hopx_patience import Patience, persist
from glovebox.adapters.hopx_trouble import Trouble, from_exception
from glovebox.domain.errors import SandboxLost
from glovebox.ports import CommandAnswer

SLOWEST_BYTES_PER_SECOND = 1_000_000
TRANSFER_SECONDS = 15
"""A transfer may take this long, and what its bytes take at the slowest."""
RUN_MARGIN_SECONDS = 5
"""Beyond a command's own time limit, until its answer is there."""
ASK_AGAIN_SECONDS = 10
"""Beyond that, to ask again where the answer was lost."""
OVERRUN_SECONDS = RUN_MARGIN_SECONDS + ASK_AGAIN_SECONDS
"""What a command's answer may take at worst, beyond its time limit."""
ANSWER_BYTES = 16 * 1024 * 1024
UPLOAD_TRIES = 10
"""An agent may take half a minute to answer after its sandbox was created."""
TRIES = 4
T = TypeVar("T")


class HopxSandbox:
    """Implements `ports.Sandbox`. Every method raises SandboxLost and nothing else."""

    def __init__(self, control: Control, sandbox_id: str, address: Address) -> None:
        self._control = control
        self._sandbox_id = sandbox_id
        self._agent = AgentClient(address, control.clock)
        self._lock = threading.Lock()
        self._calls = 0
        self._retired = False

    @property
    def sandbox_id(self) -> str:
        """The provider's id."""
        return self._sandbox_id

    def upload(self, path: str, content: bytes) -> None:
        """Write a file; again where that failed, also until a new sandbox's agent answers."""
        once = TRANSFER_SECONDS + len(content) / SLOWEST_BYTES_PER_SECOND

        def upload() -> None:
            answer = self._agent.post(
                "/files/upload",
                files={"file": ("upload", content, "application/octet-stream")},
                data={"path": path},
                operation="upload file",
                timeout=math.ceil(once),
            )
            # Something else than the agent may say 200 to anything.
            if not isinstance(answer.json(), dict):
                raise Trouble("an upload was answered with something that is no object")

        self._call(upload, Patience(UPLOAD_TRIES, once, 2 * once + TRANSFER_SECONDS))

    def run(self, command: str, *, env: Mapping[str, str], timeout_seconds: float) -> CommandAnswer:
        """Run a bash command; posted again where its answer was lost and the sandbox lives."""
        once = math.ceil(timeout_seconds) + RUN_MARGIN_SECONDS
        body = {
            "command": "bash",
            "args": ["-c", command],
            "timeout": math.ceil(timeout_seconds),
            "workdir": "/workspace",
            "env": dict(env),
        }

        def run() -> CommandAnswer:
            answer = self._agent.post(
                "/commands/run", json=body, operation="run command", timeout=once
            )
            return _command_answer(answer.json())

        return self._call(run, Patience(TRIES, once, once + ASK_AGAIN_SECONDS, ANSWER_BYTES))

    def download(self, path: str, *, limit: int) -> bytes:
        """Read a file of at most `limit` bytes; a longer one raises SandboxLost."""
        once = TRANSFER_SECONDS + limit / SLOWEST_BYTES_PER_SECOND
        # A kilobyte more than the limit, and what the answer's head and chunks take.
        patience = Patience(TRIES, once, 2 * once, limit + limit // 8 + 65536)
        content = self._call(lambda: self._agent.download(path, limit), patience)
        if content is None:
            raise self._lost(f"{path} is longer than {limit} bytes")
        return content

    def retire(self) -> None:
        """The sandbox was killed: end the calls under way, and release the connections."""
        with self._lock:
            self._retired = True
            if self._calls == 0:
                self._agent.close()
        self._agent.cut()

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        with self._lock:
            if self._retired:
                raise self._lost("the sandbox was killed")
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                if self._retired and self._calls == 0:
                    self._agent.close()

    def _call(self, call: Callable[[], T], patience: Patience) -> T:
        repeats = _Repeats(self._control, self._agent, self._sandbox_id, lambda: self._retired)
        with self._under_way():
            try:
                return persist(
                    lambda: _translated(call),
                    patience,
                    self._control.clock,
                    worth=repeats.are_worth,
                    before_repeat=repeats.prepare,
                )
            except Trouble as trouble:
                raise self._lost(trouble.words, still_there=repeats.seen_alive) from trouble

    def _lost(self, reason: str, *, still_there: bool = False) -> SandboxLost:
        return SandboxLost(reason, sandbox_id=self._sandbox_id, still_there=still_there)


class _Repeats:
    """What is done between two tries of one call."""

    def __init__(
        self,
        control: Control,
        agent: AgentClient,
        sandbox_id: str,
        retired: Callable[[], bool],
    ) -> None:
        self._control, self._agent, self._sandbox_id = control, agent, sandbox_id
        self._retired = retired
        self._refreshed = False
        self.seen_alive = False

    def are_worth(self, trouble: Trouble) -> bool:
        if self._retired():
            return False
        if trouble.status == 401:
            return not self._refreshed
        # A gateway says 404 of a sandbox that it does not know (any more, or yet); the agent
        # says it of a file, and with a code.
        nobody = trouble.status in (404, 410) and trouble.code is None
        return trouble.is_passing or nobody

    def prepare(self, trouble: Trouble, tried: int) -> bool:
        """Whether to pause first. Raises SandboxLost where the sandbox is gone."""
        if trouble.status == 401:
            self._refreshed = True
            self._agent.update_jwt_token(self._new_token())
            return False
        if trouble.status == 429:
            self.seen_alive = True
        # Not every time: what the control plane answers in a minute is limited.
        elif tried & (tried - 1) == 0:
            presence = self._control.presence(self._sandbox_id)
            if presence is Presence.GONE:
                reason = f"the sandbox is gone ({trouble.words})"
                raise SandboxLost(reason, sandbox_id=self._sandbox_id) from trouble
            self.seen_alive = presence is Presence.THERE
        return True

    def _new_token(self) -> str:
        try:
            return self._control.refresh_token(self._sandbox_id)
        except Trouble as trouble:
            reason = f"no new token for the sandbox: {trouble.words}"
            raise SandboxLost(reason, sandbox_id=self._sandbox_id) from trouble


def _translated(call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:
        # The SDK lets through what a malformed answer makes it trip over: AttributeError,
        # TypeError, RecursionError …
        raise from_exception(error) from error


def _command_answer(told: Any) -> CommandAnswer:
    """Raises Trouble where it is no whole answer: an exit code that is missing is not 0."""
    code = told.get("exit_code") if isinstance(told, dict) else None
    if type(code) is not int:
        raise Trouble("the answer to a command does not say how it ended")
    return CommandAnswer(code, _text(told.get("stdout")), _text(told.get("stderr")))


def _text(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise Trouble("a command's output is no text")
    # JSON can spell half of a character, which no file or store takes.
    return (value or "").encode(errors="replace").decode()

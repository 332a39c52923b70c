"""Sandboxes without processes: they answer at once, as launch.sh would."""

from __future__ import annotations

import base64
import io
import itertools
import re
import tarfile
from collections import Counter
from collections.abc import Mapping

from glovebox.domain.errors import SandboxLost
from glovebox.ports import CommandAnswer, SandboxRequest

from tests.fakes import FakeClock

_WORD = re.compile(r"^(slot|nonce)='?([^'\s]+)'?$", re.MULTILINE)
ASKED_TILL_DONE = 3
"""A slow test's process is asked for so often until it is done."""


def kind_of(test_id: str) -> str:
    """What a test does: the first word of its id."""
    return test_id.partition("-")[0]


class InstantSandbox:
    """One of them."""

    def __init__(self, sandbox_id: str, world: InstantSandboxes, dies_at: float) -> None:
        self.sandbox_id = sandbox_id
        self.dies_at = dies_at
        self._world = world
        self._uploads: dict[str, bytes] = {}
        self._asked: Counter[str] = Counter()
        self._answers: dict[str, str] = {}

    def _alive(self) -> None:
        if self.sandbox_id not in self._world.live:
            message = "gone"
            raise SandboxLost(message, sandbox_id=self.sandbox_id)

    def upload(self, path: str, content: bytes) -> None:
        self._alive()
        self._uploads[path] = content

    def download(self, path: str, *, limit: int) -> bytes:
        self._alive()
        message = "no such file"
        raise SandboxLost(message, sandbox_id=self.sandbox_id)

    def run(self, command: str, *, env: Mapping[str, str], timeout_seconds: float) -> CommandAnswer:
        self._alive()
        words = dict(_WORD.findall(command))
        slot = words["slot"]
        test_id = self._test_id(slot)
        if slot not in self._answers:
            key = (env["GLOVEBOX_RUN_ID"], test_id, int(env["GLOVEBOX_ATTEMPT"]))
            self._world.executions[key] += 1
            self._answers[slot] = _answer(test_id, key[2], words["nonce"])
        self._asked[slot] += 1
        if kind_of(test_id) == "lost":
            self._world.kill(self.sandbox_id)
            self._alive()
        if kind_of(test_id) == "slow" and self._asked[slot] < ASKED_TILL_DONE:
            return CommandAnswer(0, "glovebox running\n", "")
        return CommandAnswer(0, self._answers[slot], "")

    def _test_id(self, slot: str) -> str:
        packed = io.BytesIO(self._uploads[f"/workspace/.glovebox-{slot}.tar"])
        with tarfile.open(fileobj=packed, mode="r:*", ignore_zeros=True) as archive:
            argv = archive.extractfile(f".glovebox/{slot}/argv")
            assert argv is not None
            return argv.read().split(b"\0")[1].decode()


def _answer(test_id: str, number: int, nonce: str) -> str:
    kind = kind_of(test_id)
    failed = kind == "fail" or (kind == "flaky" and number == 1)
    # A liar knows that it is to say 0, and nothing else.
    told = "0" * 32 if kind == "liar" else nonce
    log = f"ran {test_id}\n".encode()
    facts = f"{told} {int(failed)} {int(kind == 'hang')} 100.0 100.5 {len(log)} log:{len(log)}"
    return f"glovebox inline {facts}\n{base64.b64encode(log).decode()}"


class InstantSandboxes:
    """The provider. Sandboxes live until they are killed or their time is over."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._made: dict[str, InstantSandbox] = {}
        self.executions: Counter[tuple[str, str, int]] = Counter()

    @property
    def live(self) -> dict[str, InstantSandbox]:
        now = self._clock.monotonic()
        return {name: made for name, made in self._made.items() if made.dies_at > now}

    def create(self, request: SandboxRequest) -> InstantSandbox:
        name = f"sb-{next(self._numbers)}"
        dies_at = self._clock.monotonic() + request.ttl_seconds
        self._made[name] = InstantSandbox(name, self, dies_at)
        return self._made[name]

    def attach(self, sandbox_id: str) -> InstantSandbox:
        if sandbox_id not in self.live:
            message = "gone"
            raise SandboxLost(message, sandbox_id=sandbox_id)
        return self._made[sandbox_id]

    def kill(self, sandbox_id: str) -> None:
        self._made.pop(sandbox_id, None)

    def bake(self, name: str, base: str, bundle: bytes) -> None:
        raise AssertionError("nothing is baked here")

    def remove(self, name: str) -> None:
        raise AssertionError("nothing is baked here")

"""Tokens and bookkeeping of one sandbox; making and killing are the integration tests'."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from glovebox_local.sandbox.images.catalogue import Image
from glovebox_local.sandbox.sandboxes import Sandbox, Token


def a_sandbox() -> Sandbox:
    nothing = cast("Any", None)
    return Sandbox(
        id="sbx-1",
        number=1,
        image=Image("1", "base", "Base", ""),
        network=False,
        keeper=nothing,
        files=nothing,
        listener=nothing,
        env={},
        created_at=datetime.now(UTC),
    )


class Ended:
    """A process that ended, as far as the bookkeeping asks."""

    def __init__(self, *, running: bool = False) -> None:
        self.running = running
        self.released = False

    def release(self) -> None:
        self.released = True


def test_a_token_opens_until_it_expires() -> None:
    sandbox = a_sandbox()
    now = datetime.now(UTC)
    sandbox.tokens.append(Token("good", now + timedelta(hours=1)))
    sandbox.tokens.append(Token("old", now - timedelta(seconds=1)))
    assert sandbox.admits(b"good")
    assert not sandbox.admits(b"old")
    assert not sandbox.admits(b"")
    assert not sandbox.admits(b"goo")


def test_only_so_many_tokens_are_kept() -> None:
    sandbox = a_sandbox()
    later = datetime.now(UTC) + timedelta(hours=1)
    for number in range(20):
        sandbox.tokens.append(Token(f"token-{number}", later))
    assert not sandbox.admits(b"token-0")
    assert sandbox.admits(b"token-19")


def test_streams_that_linger_are_bounded() -> None:
    sandbox = a_sandbox()
    processes = [Ended() for _ in range(40)]
    for process in processes:
        sandbox.linger(cast("Any", process))
    assert [process.released for process in processes] == [True] * 8 + [False] * 32


def test_records_of_background_commands_are_bounded_and_ended_ones_go_first() -> None:
    sandbox = a_sandbox()
    first = Ended(running=True)
    sandbox.remember("first", cast("Any", first))
    for number in range(300):
        sandbox.remember(f"cmd_{number}", cast("Any", Ended()))
    assert len(sandbox.background) == 256
    assert not first.released

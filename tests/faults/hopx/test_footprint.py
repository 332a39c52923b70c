"""What the adapter leaves in the process, and in its log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from glovebox.adapters.hopx_images import HopxImages
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.errors import SandboxError

from tests.fakes import RealClock
from tests.faults.hopx.laboratory import KEY, REQUEST, once
from tests.faults.hopx_proxy import HopxFaultProxy, Kind

pytestmark = pytest.mark.thorough

SANDBOXES = 200


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_two_hundred_sandboxes_leave_no_descriptor_and_no_thread(server_url: str) -> None:
    sandboxes = HopxSandboxes(server_url, KEY)
    kept = []  # so that nothing is closed by the collector
    for number in range(SANDBOXES + 1):
        if number == 1:
            before = descriptors(), threading.active_count()
        made = sandboxes.create(REQUEST)
        kept.append(made)
        made.upload("/workspace/f", b"x")
        sandboxes.kill(made.sandbox_id)
    assert (descriptors(), threading.active_count()) == before
    sandboxes.close()
    assert descriptors() < before[0]


def test_sandboxes_that_are_let_go_of_are_closed_with_everything_else(server_url: str) -> None:
    before = descriptors()
    sandboxes = HopxSandboxes(server_url, KEY)
    made = sandboxes.create(REQUEST)
    made.upload("/workspace/f", b"x")
    again = sandboxes.attach(made.sandbox_id)
    again.upload("/workspace/f", b"x")
    assert descriptors() >= before + 3
    sandboxes.close()
    assert descriptors() == before
    other = HopxSandboxes(server_url, KEY)
    other.kill(made.sandbox_id)
    other.close()


@pytest.fixture
def everything_said() -> Iterator[list[str]]:
    """What any logger says, all of them at DEBUG."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    listener = Listener()
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    before = {logger: logger.level for logger in (logging.root, *loggers)}
    for logger in before:
        logger.setLevel(logging.DEBUG)
    logging.root.addHandler(listener)
    yield said
    logging.root.removeHandler(listener)
    for logger, level in before.items():
        logger.setLevel(level)


def test_with_every_logger_at_debug_no_secret_is_said(
    proxy: HopxFaultProxy,
    sandboxes: HopxSandboxes,
    everything_said: list[str],
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(once(Kind.EXPIRED_TOKEN, "upload"), once(Kind.DROPPED_AFTER, "run"))
    made.upload("/workspace/f", b"x")
    made.run("true", env={"DB_URL": "postgres://s3cret"}, timeout_seconds=20)
    token = sandboxes.attach(made.sandbox_id)._agent._jwt_token
    images = HopxImages(proxy.url, KEY, RealClock())
    with suppress(SandboxError):
        images.bake("glovebox-said", "no-such-image", b"")
    images.close()
    sandboxes.kill(made.sandbox_id)
    logging.getLogger("somebody.else").debug("heard")
    heard = "\n".join(everything_said)
    assert "heard" in heard
    assert token
    for secret in (KEY, token, made._agent._jwt_token, "s3cret"):
        assert secret not in heard
        assert secret not in repr(made)

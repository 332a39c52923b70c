"""The sandbox provider: what the fake promises, HopX's API on this machine keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.errors import SandboxError, SandboxLost, SandboxRefused, SandboxUnavailable
from glovebox.ports import Sandbox, Sandboxes, SandboxRequest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.fakes import FolderSandboxes

REQUEST = SandboxRequest(image="code-interpreter", network=False, ttl_seconds=60)


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with SandboxServerProcess("key") as server:
        yield server.url


@pytest.fixture(params=["folder", "hopx"])
def sandboxes(request: pytest.FixtureRequest, tmp_path: Path) -> Sandboxes:
    if request.param == "folder":
        return FolderSandboxes(tmp_path)
    return HopxSandboxes(request.getfixturevalue("server_url"), "key")


@pytest.fixture
def sandbox(sandboxes: Sandboxes) -> Iterator[Sandbox]:
    made = sandboxes.create(REQUEST)
    yield made
    with suppress(SandboxError):
        sandboxes.kill(made.sandbox_id)


def test_a_file_is_read_as_it_was_written(sandbox: Sandbox) -> None:
    # "abcd" is valid base64, which the SDK's own download would decode.
    for content in (b"abcd", bytes(range(256)), b""):
        sandbox.upload("/workspace/f", content)
        assert sandbox.download("/workspace/f", limit=1000) == content


def test_a_file_over_the_limit_or_missing_is_a_lost_answer(sandbox: Sandbox) -> None:
    sandbox.upload("/workspace/f", b"12345")
    with pytest.raises(SandboxLost):
        sandbox.download("/workspace/f", limit=4)
    with pytest.raises(SandboxLost):
        sandbox.download("/workspace/nothing", limit=4)


def test_a_command_answers_with_its_exit_code_and_output(sandbox: Sandbox) -> None:
    answer = sandbox.run('echo "é $A"; echo err >&2; exit 7', env={"A": "b c"}, timeout_seconds=20)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (7, "é b c\n", "err\n")


def test_sandboxes_do_not_see_each_others_files(sandboxes: Sandboxes, sandbox: Sandbox) -> None:
    sandbox.upload("/workspace/f", b"mine")
    other = sandboxes.create(REQUEST)
    try:
        assert other.sandbox_id != sandbox.sandbox_id
        with pytest.raises(SandboxLost):
            other.download("/workspace/f", limit=10)
    finally:
        sandboxes.kill(other.sandbox_id)


def test_somebody_else_can_go_on_with_a_sandbox(sandboxes: Sandboxes, sandbox: Sandbox) -> None:
    sandbox.upload("/workspace/f", b"x")
    assert sandboxes.attach(sandbox.sandbox_id).download("/workspace/f", limit=10) == b"x"


def test_killing_again_is_no_error_and_what_is_killed_is_lost(sandboxes: Sandboxes) -> None:
    made = sandboxes.create(REQUEST)
    for _ in range(2):
        sandboxes.kill(made.sandbox_id)
    with pytest.raises(SandboxLost):
        made.run("true", env={}, timeout_seconds=5)
    with pytest.raises(SandboxLost):
        sandboxes.attach(made.sandbox_id)


def test_killing_ends_a_command_that_is_under_way(sandboxes: Sandboxes) -> None:
    if isinstance(sandboxes, FolderSandboxes):
        pytest.skip("a folder has no processes to end")
    made = sandboxes.create(REQUEST)
    threading.Timer(0.5, sandboxes.kill, [made.sandbox_id]).start()
    with pytest.raises(SandboxLost):
        made.run("sleep 60", env={}, timeout_seconds=90)


def test_a_wrong_key_or_image_is_refused_and_nobody_there_is_unavailable(server_url: str) -> None:
    with pytest.raises(SandboxRefused):
        HopxSandboxes(server_url, "wrong").create(REQUEST)
    strange = SandboxRequest(image="no-such-image", network=False, ttl_seconds=60)
    with pytest.raises(SandboxRefused):
        HopxSandboxes(server_url, "key").create(strange)
    with pytest.raises(SandboxUnavailable):
        HopxSandboxes("http://127.0.0.1:9", "key").create(REQUEST)

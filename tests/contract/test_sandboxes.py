"""The sandbox provider: what the fake promises, HopX's API on this machine keeps."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from glovebox.adapters.hopx_control import Control
from glovebox.adapters.hopx_images import HopxImages
from glovebox.adapters.hopx_listing import list_sandboxes
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.adapters.system import SystemClock
from glovebox.domain.errors import SandboxError, SandboxLost, SandboxRefused, SandboxUnavailable
from glovebox.domain.keys import image_name
from glovebox.ports import Images, Sandbox, Sandboxes, SandboxRequest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.fakes import FolderSandboxes, RealClock

REQUEST = SandboxRequest(image="code-interpreter", network=False, ttl_seconds=120)
LIVE_URL = os.environ.get("GLOVEBOX_LIVE_HOPX", "")
"""Set by `make live`: the base URL of a service to hold the contract too, with HOPX_API_KEY."""
LIVE = [pytest.param("live", marks=pytest.mark.live)] if LIVE_URL else []


# What the hosted service takes minutes for.
bakes = pytest.mark.bakes
patient = pytest.mark.timeout(1500)


@dataclass(frozen=True)
class Account:
    """Where a HopX is, and its key."""

    url: str
    key: str


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with SandboxServerProcess("key") as server:
        yield server.url


@pytest.fixture(params=["folder", "hopx", *LIVE])
def account(request: pytest.FixtureRequest) -> Account | None:
    """A HopX, or nothing where the fake is meant."""
    if request.param == "folder":
        return None
    if request.param == "live":
        return Account(LIVE_URL, os.environ["HOPX_API_KEY"])
    return Account(request.getfixturevalue("server_url"), "key")


@pytest.fixture
def hopx(account: Account | None) -> Account:
    if account is None:
        pytest.skip("a fake has no account")
    return account


@pytest.fixture
def sandboxes(account: Account | None, tmp_path: Path) -> Iterator[Sandboxes]:
    if account is None:
        yield FolderSandboxes(tmp_path)
        return
    made = HopxSandboxes(account.url, account.key)
    yield made
    made.close()


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


def test_every_live_sandbox_is_listed_once_with_its_image_and_age(sandboxes: Sandboxes) -> None:
    made = [sandboxes.create(REQUEST) for _ in range(3)]
    try:
        listed = {facts.sandbox_id: facts for facts in sandboxes.list()}
        for sandbox in made:
            facts = listed[sandbox.sandbox_id]
            assert facts.image == REQUEST.image
            assert facts.created_at is not None
            assert abs(facts.created_at - time.time()) < 60
    finally:
        for sandbox in made:
            sandboxes.kill(sandbox.sandbox_id)
    assert not {s.sandbox_id for s in made} & {f.sandbox_id for f in sandboxes.list()}


def test_a_list_of_many_pages_has_every_sandbox_once(server_url: str) -> None:
    sandboxes = HopxSandboxes(server_url, "key")
    made = {sandboxes.create(REQUEST).sandbox_id for _ in range(5)}
    try:
        control = Control(server_url, "key", SystemClock())
        listed = [facts.sandbox_id for facts in list_sandboxes(control, page_size=2)]
        assert len(listed) == len(set(listed))
        assert made <= set(listed)
    finally:
        for sandbox_id in made:
            sandboxes.kill(sandbox_id)


def test_killing_ends_a_command_that_is_under_way(sandboxes: Sandboxes) -> None:
    made = sandboxes.create(REQUEST)
    killer = threading.Timer(0.5, sandboxes.kill, [made.sandbox_id])
    killer.start()
    with pytest.raises(SandboxLost):
        made.run("sleep 60", env={}, timeout_seconds=90)
    killer.join()


def test_a_wrong_key_or_image_is_refused_and_nobody_there_is_unavailable(hopx: Account) -> None:
    with pytest.raises(SandboxRefused):
        HopxSandboxes(hopx.url, "wrong").create(REQUEST)
    strange = SandboxRequest(image="no-such-image", network=False, ttl_seconds=60)
    with pytest.raises(SandboxRefused):
        HopxSandboxes(hopx.url, hopx.key).create(strange)
    with pytest.raises(SandboxUnavailable):
        HopxSandboxes("http://127.0.0.1:9", "key").create(REQUEST)


def bundle_of(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def images(account: Account | None, sandboxes: Sandboxes) -> Iterator[Images]:
    if account is None:
        assert isinstance(sandboxes, FolderSandboxes)
        yield sandboxes
        return
    # The real clock of a fake sleeps shorter than it is told: nothing for somebody else's server.
    made = HopxImages(account.url, account.key, SystemClock())
    yield made
    made.close()


@bakes
@patient
def test_sandboxes_of_an_image_have_its_bundle_and_may_do_with_it_as_they_like(
    sandboxes: Sandboxes, images: Images
) -> None:
    # Two tars one behind the other, as a bundle may be; in the image and nowhere else.
    bundle = bundle_of({"src/a": b"one"}) + bundle_of({"src/b": b"two", "home/c": b"three"})
    name = image_name("code-interpreter", bundle)
    images.bake(name, "code-interpreter", bundle)
    images.bake(name, "code-interpreter", bundle)
    wanted = SandboxRequest(image=name, network=False, ttl_seconds=60)
    for _ in range(2):
        made = sandboxes.create(wanted)
        try:
            answer = made.run(
                "cd /workspace && ls && cat src/a src/b home/c && echo more >>src/a && rm src/b"
                " && chmod 600 home/c && mkdir src/new",
                env={},
                timeout_seconds=20,
            )
            assert (answer.exit_code, answer.stderr) == (0, "")
            assert answer.stdout == "home\nsrc\nonetwothree"
        finally:
            sandboxes.kill(made.sandbox_id)
    images.remove(name)
    images.remove(name)
    with pytest.raises(SandboxRefused):
        sandboxes.create(wanted)


@bakes
@patient
def test_a_large_bundle_is_baked_compressed(sandboxes: Sandboxes, images: Images) -> None:
    bundle = gzip.compress(bundle_of({"src/large": b"0123456789" * 1_000_000}))
    name = image_name("code-interpreter", bundle)
    images.bake(name, "code-interpreter", bundle)
    made = sandboxes.create(SandboxRequest(image=name, network=False, ttl_seconds=60))
    try:
        answer = made.run("wc -c </workspace/src/large", env={}, timeout_seconds=20)
        assert answer.stdout.strip() == "10000000"
    finally:
        sandboxes.kill(made.sandbox_id)
        images.remove(name)


def test_an_image_of_nothing_known_is_refused_and_nobody_there_is_unavailable(
    images: Images,
) -> None:
    with pytest.raises(SandboxRefused):
        images.bake("glovebox-x", "no-such-image", bundle_of({"src/a": b""}))
    nobody = HopxImages("http://127.0.0.1:9", "key", RealClock())
    with pytest.raises(SandboxUnavailable):
        nobody.bake("glovebox-x", "base", b"")
    with pytest.raises(SandboxUnavailable):
        nobody.remove("glovebox-x")

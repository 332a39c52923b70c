"""Sandboxes from their creation to their end, through both SDKs."""

from __future__ import annotations

import time
from typing import Any

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess
from hopx_ai import AsyncSandbox, Sandbox
from hopx_ai.errors import (
    AuthenticationError,
    HopxError,
    NetworkError,
    NotFoundError,
    TemplateNotFoundError,
    ValidationError,
)

from tests.conformance.python.blocking import Blocking
from tests.conformance.python.conftest import Make
from tests.conformance.python.surface import Kind, covers, in_both, in_one

Account = dict[str, str]


@in_both("Sandbox.create", "Sandbox.get_info")
def test_a_sandbox_is_what_was_asked_for(make: Make) -> None:
    sandbox = make("base", timeout_seconds=300, region="local")
    info = sandbox.get_info()
    assert (info.sandbox_id, info.status) == (sandbox.sandbox_id, "running")
    assert (info.template_name, info.internet_access) == ("base", False)
    assert info.timeout_seconds == 300
    assert 290 < (info.expires_at - info.created_at).total_seconds() < 310
    assert info.resources.memory_mb == 256


@in_both("Sandbox.create", "Sandbox.list_templates")
def test_a_template_is_taken_by_its_id(make: Make, sdk: Blocking, account: Account) -> None:
    wanted = sdk.list_templates(**account)[0]
    assert make(None, template_id=wanted.id).get_info().template_id == wanted.id


@in_both("Sandbox.create")
def test_variables_given_at_creation_are_there(make: Make) -> None:
    sandbox = make(env_vars={"GREETING": "hello world"})
    assert sandbox.commands.run("echo $GREETING").stdout == "hello world\n"


@in_both("Sandbox.create")
def test_an_unknown_template_is_told_with_those_that_exist(make: Make) -> None:
    with pytest.raises(TemplateNotFoundError) as unknown:
        make("code-interpeter")
    assert {"base", "code-interpreter"} <= set(unknown.value.available_templates)
    assert unknown.value.status_code == 404


@in_both("Sandbox.create")
def test_a_wrong_key_and_a_wrong_field_are_told_apart(
    make: Make, sdk: Blocking, account: Account
) -> None:
    with pytest.raises(AuthenticationError) as refused:
        sdk.create(template="base", api_key="wrong", base_url=account["base_url"])
    assert refused.value.request_id
    with pytest.raises(ValidationError):
        make(timeout_seconds=-1)


@covers("Sandbox.create")
def test_a_with_block_ends_its_sandbox(account: Account) -> None:
    with Sandbox.create(template="base", **account) as sandbox:
        assert sandbox.is_healthy()
    with pytest.raises(NotFoundError):
        sandbox.get_info()


@covers("AsyncSandbox.create")
def test_an_async_with_block_ends_its_sandbox(account: Account, runner: Any) -> None:
    async def block() -> AsyncSandbox:
        async with AsyncSandbox.create(template="base", **account) as sandbox:
            assert await sandbox.is_healthy()
        return sandbox

    sandbox = runner.run(block())
    with pytest.raises(NotFoundError):
        runner.run(sandbox.get_info())


@in_both("Sandbox.kill")
def test_a_killed_sandbox_is_gone_for_good(make: Make) -> None:
    sandbox = make()
    sandbox.kill()
    for gone in (sandbox.kill, sandbox.get_info):
        with pytest.raises(NotFoundError) as missing:
            gone()
        assert missing.value.status_code == 404


@in_both("Sandbox.list", "Sandbox.iter")
def test_living_sandboxes_are_listed(make: Make, sdk: Blocking, account: Account) -> None:
    made = {make().sandbox_id for _ in range(3)}
    listed = {sandbox.sandbox_id for sandbox in sdk.list(status="running", **account)}
    iterated = {item.sandbox_id for item in sdk.iter(region="local", **account)}
    assert made <= listed
    assert made <= iterated
    assert len(sdk.list(limit=2, **account)) == 2
    assert not made & {item.sandbox_id for item in sdk.iter(status="paused", **account)}


@in_both("Sandbox.pause", "Sandbox.resume")
def test_a_paused_sandbox_stands_still_and_goes_on(
    make: Make, sdk: Blocking, account: Account
) -> None:
    sandbox = make()
    count = "i=0; while true; do i=$((i+1)); echo $i > /tmp/count; sleep 0.01; done"
    sandbox.commands.run(count, background=True)
    sandbox.commands.run("until [ -s /tmp/count ]; do sleep 0.01; done")
    sandbox.pause()
    assert sandbox.get_info().status == "paused"
    paused = {item.sandbox_id for item in sdk.list(status="paused", **account)}
    assert sandbox.sandbox_id in paused
    sandbox.resume()
    assert sandbox.get_info().status == "running"
    before = int(sandbox.commands.run("cat /tmp/count").stdout)
    moved = f"until [ $(cat /tmp/count) -gt {before} ]; do sleep 0.01; done"
    assert sandbox.commands.run(moved).exit_code == 0


@in_both("Sandbox.connect")
def test_somebody_else_goes_on_with_a_sandbox(make: Make, sdk: Blocking, account: Account) -> None:
    sandbox = make()
    sandbox.files.write("/workspace/mine", "1")
    other = sdk.connect(sandbox.sandbox_id, **account)
    assert other.files.read("/workspace/mine") == "1"
    assert sandbox.files.read("/workspace/mine") == "1"


@covers("Sandbox.connect", "Sandbox.pause")
def test_connecting_to_a_paused_sandbox_resumes_it(account: Account) -> None:
    with Sandbox.create(template="base", timeout_seconds=120, **account) as sandbox:
        sandbox.pause()
        assert Sandbox.connect(sandbox.sandbox_id, **account).get_info().status == "running"


@in_one("async", "AsyncSandbox.connect", "AsyncSandbox.pause")
def test_the_async_connect_leaves_a_paused_sandbox_paused(
    make: Make, sdk: Blocking, account: Account
) -> None:
    # The SDK's own: its asynchronous connect asks whether the sandbox is there, and nothing more.
    sandbox = make()
    sandbox.pause()
    assert sdk.connect(sandbox.sandbox_id, **account).get_info().status == "paused"


@in_both("Sandbox.connect")
def test_nobody_connects_to_what_is_not_there(sdk: Blocking, account: Account) -> None:
    with pytest.raises(NotFoundError):
        sdk.connect("sbx-none", **account)


@in_both("Sandbox.set_timeout", "Sandbox.get_time_to_expiry", "Sandbox.is_expiring_soon")
def test_a_new_time_counts_from_now(make: Make) -> None:
    sandbox = make(timeout_seconds=3600)
    assert sandbox.is_expiring_soon() is False
    sandbox.set_timeout(200)
    assert 190 < sandbox.get_time_to_expiry() <= 200
    assert sandbox.is_expiring_soon() is True
    assert sandbox.is_expiring_soon(threshold_seconds=100) is False


@in_both("Sandbox.get_expiry_info", "Sandbox.get_time_to_expiry")
def test_a_sandbox_without_a_time_never_ends(make: Make) -> None:
    endless, timed = make(timeout_seconds=None), make(timeout_seconds=100)
    info = endless.get_expiry_info()
    assert (info.has_timeout, info.expires_at, info.is_expired) == (False, None, False)
    assert endless.get_time_to_expiry() is None
    info = timed.get_expiry_info()
    assert (info.has_timeout, info.is_expired, info.is_expiring_soon) == (True, False, True)


@in_both("Sandbox.set_timeout")
def test_a_sandbox_ends_when_its_time_is_over(make: Make, kind: Kind) -> None:
    sandbox = make()
    sandbox.set_timeout(1)
    began = time.monotonic()
    # The command holds the connection until the sandbox ends under it: nothing to wait by guess.
    with pytest.raises(HopxError):
        sandbox.commands.run("sleep 60")
    assert time.monotonic() - began > 0.5
    with pytest.raises(NotFoundError):
        sandbox.get_info()


@in_both("Sandbox.is_healthy", "Sandbox.ensure_healthy")
def test_health_is_told_of_the_living_alone(make: Make) -> None:
    sandbox = make()
    assert sandbox.is_healthy() is True
    sandbox.ensure_healthy()
    sandbox.kill()
    with pytest.raises(NotFoundError):
        sandbox.ensure_healthy()


@in_both("Sandbox.health_check")
def test_the_service_is_healthy_and_nobody_there_is_not(
    sdk: Blocking, server: SandboxServerProcess
) -> None:
    assert sdk.health_check(base_url=server.url)["status"] == "healthy"
    with pytest.raises(NetworkError):
        sdk.health_check(base_url="http://127.0.0.1:9")


@in_both("Sandbox.get_preview_url", "Sandbox.agent_url")
def test_a_preview_address_is_for_the_vendors_hosts_alone(sandbox: Any) -> None:
    # The SDK's own: it takes nothing but *.vms.hopx.dev for a host that it can make one from.
    with pytest.raises(HopxError, match="Unable to determine preview URL"):
        sandbox.get_preview_url(8080)
    with pytest.raises(HopxError, match="Unable to determine preview URL"):
        _ = sandbox.agent_url

"""The tokens that open a sandbox's agent."""

from __future__ import annotations

from typing import Any

import pytest
from hopx_ai import Sandbox
from hopx_ai.errors import AgentError, NotFoundError

from tests.conformance.python.conftest import Make
from tests.conformance.python.surface import covers, in_both


@in_both("Sandbox.get_token", "Sandbox.refresh_token")
def test_a_new_token_opens_and_the_old_one_still_does(sandbox: Any) -> None:
    assert sandbox.commands.run("echo before").stdout == "before\n"
    first = sandbox.get_token()
    sandbox.refresh_token()
    second = sandbox.get_token()
    assert first != second
    assert sandbox.commands.run("echo after").stdout == "after\n"
    url = sandbox.get_info().public_host
    for token in (first, second):
        assert Sandbox.debug(url, token, token).commands.run("echo 1").stdout == "1\n"


@in_both("Sandbox.get_token")
def test_a_token_that_is_not_good_any_more_is_renewed(sandbox: Any) -> None:
    sandbox.commands.run("true")
    sandbox.inner._agent_client.update_jwt_token("wrong")
    assert sandbox.commands.run("echo renewed").stdout == "renewed\n"
    assert sandbox.get_token() != "wrong"


@in_both("Sandbox.refresh_token")
def test_there_is_no_token_for_what_is_not_there(make: Make) -> None:
    sandbox = make()
    sandbox.kill()
    with pytest.raises(NotFoundError):
        sandbox.refresh_token()


@covers("Sandbox.debug")
def test_a_sandbox_is_used_with_its_address_and_token_alone(account: dict[str, str]) -> None:
    with Sandbox.create(template="base", timeout_seconds=120, **account) as sandbox:
        url, token = sandbox.get_info().public_host, sandbox.get_token()
        debug = Sandbox.debug(url.replace("http://", "ws://"), token)
        assert debug.commands.run("echo 1").stdout == "1\n"
        wrong = Sandbox.debug(url, "wrong", "wrong")
        with pytest.raises(AgentError):
            wrong.commands.run("echo 1")

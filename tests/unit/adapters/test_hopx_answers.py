"""Answers that no sound provider gives, and an agent that somebody else speaks for."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from glovebox.adapters.hopx_address import Address
from glovebox.adapters.hopx_agent import HopxSandbox
from glovebox.adapters.hopx_clients import ControlClient
from glovebox.adapters.hopx_control import Control
from glovebox.adapters.hopx_images import HopxImages
from glovebox.adapters.hopx_trouble import Trouble
from glovebox.domain.errors import SandboxLost

from tests.fakes import FakeClock

KEY = "the-key-of-the-account"
TOKEN = "the-token-of-the-sandbox"
Answer = Callable[[httpx.Request], httpx.Response]


def answering(client: Any, answer: Answer) -> None:
    """Put an answer in the network's place."""
    client._client._transport = httpx.MockTransport(answer)


@pytest.fixture
def control() -> ControlClient:
    return ControlClient("https://api.example", KEY, FakeClock())


@pytest.fixture
def sandbox() -> HopxSandbox:
    whole = Control("https://api.example", KEY, FakeClock())
    answering(whole._client, lambda _: httpx.Response(200, json={"status": "running"}))
    return HopxSandbox(whole, "sb", Address("https://agent.example", TOKEN))


def run(sandbox: HopxSandbox, body: Any, **more: Any) -> tuple[int | None, str, str]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answering(sandbox._agent, lambda _: httpx.Response(200, content=content, **more))
    answer = sandbox.run("true", env={}, timeout_seconds=5)
    return answer.exit_code, answer.stdout, answer.stderr


@pytest.mark.parametrize("status", [401, 403, 429, 500])
@pytest.mark.parametrize("details", [None, [], "x", {}])
def test_a_refusal_over_which_the_sdk_stumbles_is_read_all_the_same(
    control: ControlClient, status: int, details: Any
) -> None:
    body = {"error": {"message": f"the limit of {KEY}", "code": "X", "details": details}}
    answering(control, lambda _: httpx.Response(status, json=body))
    with pytest.raises(Trouble) as caught:
        control.once("POST", "/v1/sandboxes", {})
    assert caught.value.status == status
    assert caught.value.words == f"HTTP {status}: the limit of …"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b'"x"', b"<html>", b"[" * 100_000])
def test_an_answer_that_is_no_object_is_trouble(control: ControlClient, body: bytes) -> None:
    answering(control, lambda _: httpx.Response(200, content=body))
    with pytest.raises(Trouble) as caught:
        control.once("GET", "/v1/sandboxes/x", None)
    assert caught.value.is_passing
    assert caught.value.empty is (body == b"")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stdout": "ok", "success": True},
        {"exit_code": None},
        {"exit_code": True},
        {"exit_code": "0"},
        {"exit_code": 0.0},
        {"exit_code": [0]},
        {"exit_code": 0, "stdout": {"a": 1}},
        {"exit_code": 0, "stderr": 7},
        [{"exit_code": 0}],
        b"",
        b"null",
        b'{"exit_code": 0',
        b'{"exit_code": 0} trailing',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_an_answer_that_does_not_say_how_a_command_ended_is_no_success(
    sandbox: HopxSandbox, body: Any
) -> None:
    with pytest.raises(SandboxLost) as caught:
        run(sandbox, body)
    assert caught.value.still_there


def test_half_a_character_is_replaced(sandbox: HopxSandbox) -> None:
    body = b'{"exit_code": 0, "stdout": "a\\ud800b", "stderr": null}'
    code, stdout, stderr = run(sandbox, body)
    assert (code, stdout, stderr) == (0, "a?b", "")


def test_a_small_answer_that_unpacks_to_a_large_one_is_not_unpacked(sandbox: HopxSandbox) -> None:
    packed = gzip.compress(b'{"exit_code": 0, "stdout": "' + b"x" * 1_000_000 + b'"}')
    with pytest.raises(SandboxLost, match="compressed"):
        run(sandbox, packed, headers={"Content-Encoding": "gzip"})


def test_a_refusal_does_not_repeat_the_token(sandbox: HopxSandbox) -> None:
    body = {"error": f"no such token: {TOKEN}", "code": "BAD_REQUEST"}
    answering(sandbox._agent, lambda _: httpx.Response(400, json=body))
    with pytest.raises(SandboxLost) as caught:
        sandbox.upload("/workspace/f", b"")
    assert caught.value.reason == "HTTP 400: no such token: …"


def test_a_gateway_that_does_not_know_the_sandbox_yet_is_asked_again(sandbox: HopxSandbox) -> None:
    answers = [httpx.Response(404, content=b"<html>"), httpx.Response(200, json={"success": True})]
    answering(sandbox._agent, lambda _: answers.pop(0))
    sandbox.upload("/workspace/f", b"")
    assert answers == []


def test_a_file_that_is_not_there_is_asked_for_once(sandbox: HopxSandbox) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(404, json={"error": "no such file", "code": "FILE_NOT_FOUND"})

    answering(sandbox._agent, answer)
    with pytest.raises(SandboxLost, match="no such file"):
        sandbox.download("/workspace/f", limit=10)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "said",
    [httpx.Response(404), httpx.Response(410), httpx.Response(200, json={"status": "stopped"})],
)
def test_a_sandbox_that_is_gone_is_found_out_at_the_first_failure(
    sandbox: HopxSandbox, said: httpx.Response
) -> None:
    asked: list[str] = []

    def refused(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        message = "connection refused"
        raise httpx.ConnectError(message)

    answering(sandbox._agent, refused)
    answering(sandbox._control._client, lambda _: said)
    with pytest.raises(SandboxLost, match="gone") as caught:
        sandbox.upload("/workspace/f", b"")
    assert not caught.value.still_there
    assert len(asked) == 1


def test_an_image_whose_build_was_not_answered_is_looked_for_before_it_is_built_again() -> None:
    images = HopxImages("https://api.example", KEY, FakeClock())
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        if request.url.path.endswith("/upload-link"):
            return httpx.Response(200, json={"present": True})
        if request.method == "POST":
            return httpx.Response(504)
        if "POST /v1/templates/build" not in asked:
            return httpx.Response(404)
        return httpx.Response(200, json={"id": "7", "status": "active", "is_active": True})

    answering(images._control._client, answer)
    images.bake("glovebox-x", "base", b"")
    assert asked.count("POST /v1/templates/build") == 1

"""The control plane's own rules: keys, forms of requests, paging, envelopes."""

from __future__ import annotations

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, Answer, Box, Client, request

CREATE = {"template_name": "base"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": API_KEY + "x"}, 401),
        ({"X-API-Key": API_KEY[:-1]}, 401),
        ({"Authorization": f"Basic {API_KEY}"}, 401),
        ({"Authorization": f"Bearer {API_KEY}"}, 200),
        ({"X-API-Key": API_KEY}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/v1/sandboxes", "/v1/templates"])
def test_only_the_key_opens(
    client: Client, path: str, headers: dict[str, str], status: int
) -> None:
    assert request(client.url, "GET", path, None, headers).status == status


def test_health_needs_no_key_and_tells_the_level(
    client: Client, server: SandboxServerProcess
) -> None:
    answer = request(client.url, "GET", "/health").body
    assert (answer["status"], answer["isolation"]) == ("healthy", server.isolation)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "template_name"),
        ({"template_name": 7}, "template_name"),
        (CREATE | {"timeout_seconds": 0}, "timeout_seconds"),
        (CREATE | {"timeout_seconds": "60"}, "timeout_seconds"),
        (CREATE | {"timeout_seconds": True}, "timeout_seconds"),
        (CREATE | {"timeout_seconds": 1.5}, "timeout_seconds"),
        (CREATE | {"timeout_seconds": 1e12}, "timeout_seconds"),
        (CREATE | {"internet_access": "no"}, "internet_access"),
        (CREATE | {"env_vars": ["A=1"]}, "env_vars"),
        (CREATE | {"env_vars": {"A B": "1"}}, "env_vars"),
        (CREATE | {"env_vars": {"A=B": "1"}}, "env_vars"),
        (CREATE | {"env_vars": {"A": 1}}, "A"),
        (CREATE | {"env_vars": {"A": "\0"}}, "A"),
        (CREATE | {"env_vars": {"A": "x" * 100_000}}, "env_vars"),
    ],
)
def test_a_wrong_field_is_named(client: Client, body: dict[str, object], named: str) -> None:
    answer = client.ask("POST", "/v1/sandboxes", body)
    assert (answer.status, answer.body["error"]["code"]) == (400, "INVALID_REQUEST")
    assert named in answer.body["error"]["message"]


def create_with(client: Client, content: bytes, kind: str = "application/json") -> Answer:
    headers = {"X-API-Key": API_KEY, "Content-Type": kind}
    return request(client.url, "POST", "/v1/sandboxes", content, headers)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(client: Client, content: bytes) -> None:
    assert create_with(client, content).status == 400


def test_another_content_type_is_refused(client: Client) -> None:
    assert create_with(client, b'{"template_name": "base"}', "text/plain").status == 415


def test_a_huge_body_is_refused_before_it_is_read(client: Client) -> None:
    answer = create_with(client, b"x" * (17 * 1024 * 1024))
    assert (answer.status, answer.body["error"]["details"]["limit"]) == (413, 16 * 1024 * 1024)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/sandboxes/", 404),
        ("GET", "/v1/sandboxes/none", 404),
        ("DELETE", "/v1/sandboxes/none", 404),
        ("GET", "/v1/sandboxes/none/pause", 405),
        ("DELETE", "/v1/sandboxes", 405),
        ("POST", "/v1/templates/build", 415),
        ("GET", "/v1/templates/none", 404),
    ],
)
def test_errors_have_the_nested_envelope(
    client: Client, method: str, path: str, status: int
) -> None:
    answer = client.ask(method, path)
    assert answer.status == status
    assert set(answer.body["error"]) == {"message", "code", "request_id", "details"}
    assert answer.body["error"]["details"] == {}


def test_pages_hold_every_sandbox_once(client: Client) -> None:
    made = [client.create().id for _ in range(7)]
    seen: list[str] = []
    path = "/v1/sandboxes?limit=3"
    while True:
        page = client.ask("GET", path).body
        assert len(page["data"]) <= 3
        seen += [sandbox["id"] for sandbox in page["data"]]
        if not page["has_more"]:
            break
        path = f"/v1/sandboxes?limit=3&cursor={page['next_cursor']}"
        # One that ends between two pages loses nobody else.
        client.ask("DELETE", f"/v1/sandboxes/{made.pop(0)}") if len(made) == 7 else None
    assert set(made) <= set(seen)
    assert len(seen) == len(set(seen))
    for sandbox_id in made:
        client.ask("DELETE", f"/v1/sandboxes/{sandbox_id}")


def test_a_list_is_filtered(client: Client, shared: Box) -> None:
    running = client.ask("GET", "/v1/sandboxes?status=running").body["data"]
    assert shared.id in {sandbox["id"] for sandbox in running}
    assert client.ask("GET", "/v1/sandboxes?status=paused").body["data"] == []
    assert client.ask("GET", "/v1/sandboxes?region=moon").body["data"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "status=odd"])
def test_a_wrong_filter_is_refused(client: Client, query: str) -> None:
    assert client.ask("GET", f"/v1/sandboxes?{query}").status == 400

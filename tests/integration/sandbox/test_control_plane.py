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
        ({"template_name": ["base"]}, "template_name"),
        ({"template_id": True}, "template_id"),
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


@pytest.mark.parametrize(
    "named", [{"template_name": "base"}, {"template_id": "1"}, {"template_id": 1}]
)
def test_a_template_is_named_or_numbered(client: Client, named: dict[str, object]) -> None:
    answer = client.ask("POST", "/v1/sandboxes", named)
    assert (answer.status, answer.body["template_name"]) == (201, "base")
    client.ask("DELETE", f"/v1/sandboxes/{answer.body['id']}")


@pytest.mark.parametrize("named", [{"template_name": "none"}, {"template_id": 10**30}])
def test_a_template_that_is_not_there_is_told(client: Client, named: dict[str, object]) -> None:
    answer = client.ask("POST", "/v1/sandboxes", named)
    assert (answer.status, answer.body["error"]["code"]) == (404, "TEMPLATE_NOT_FOUND")


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
    allowed = {"allow": answer.headers["allow"].split(", ")} if status == 405 else {}
    assert answer.body["error"]["details"] == allowed


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/health", None),
        ("GET", "/info", None),
        ("GET", "/v1/sandboxes", None),
        ("GET", "/v1/templates", None),
        ("GET", "/v1/sandboxes/none", None),
        ("POST", "/v1/sandboxes", {}),
        ("PATCH", "/health", None),
        ("GET", "/nothing", None),
    ],
)
def test_every_answer_has_a_request_id_of_its_own(
    client: Client, method: str, path: str, body: object
) -> None:
    first, second = (client.ask(method, path, body) for _ in range(2))
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    if first.status >= 400:
        assert first.body["error"]["request_id"] == first.headers["x-request-id"]


def test_a_wrong_key_is_told_in_the_same_envelope(client: Client) -> None:
    answer = request(client.url, "DELETE", "/v1/sandboxes/x", None, {"X-API-Key": "wrong"})
    assert answer.body["error"]["code"] == "UNAUTHORIZED"
    assert answer.body["error"]["request_id"] == answer.headers["x-request-id"]


def test_info_needs_no_key_and_tells_of_nobody(client: Client, shared: Box) -> None:
    answer = request(client.url, "GET", "/info")
    assert set(answer.body) == {
        "service",
        "isolation",
        "not_enforced",
        "limits",
        "quotas",
        "images",
    }
    assert shared.id.encode() not in answer.raw
    assert answer.body["limits"]["pids"] == 64


@pytest.mark.parametrize("body", [{}, {"timeout_seconds": None}, {"timeout_seconds": 0.5}])
def test_a_wrong_timeout_is_refused(client: Client, shared: Box, body: object) -> None:
    assert client.ask("PUT", f"/v1/sandboxes/{shared.id}/timeout", body).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/sandboxes/none/timeout"), ("POST", "/v1/sandboxes/none/token/refresh")],
)
def test_a_sandbox_that_is_not_there_has_no_time_and_no_token(
    client: Client, method: str, path: str
) -> None:
    assert client.ask(method, path, {"timeout_seconds": 5}).status == 404


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


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=x", "cursor=x", "status=odd", "cursor=-1"),
        *("limit=%C2%B2", "limit=" + "9" * 5000, "cursor=" + "9" * 5000),
    ],
)
def test_a_wrong_filter_is_refused(client: Client, query: str) -> None:
    assert client.ask("GET", f"/v1/sandboxes?{query}").status == 400

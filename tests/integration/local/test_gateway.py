"""The HTTP API: the documented event, the documented answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from .conftest import Playground


@pytest.fixture
def api(playground: Playground) -> httpx.Client:
    return httpx.Client(base_url=playground.endpoints.api_url, timeout=10)


def event_for(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    event: dict[str, Any] = response.json()
    return event


def test_the_event_has_the_documented_shape(api: httpx.Client) -> None:
    response = api.get(
        "/runs/a%20b?tag=x&tag=y&empty=",
        headers=[("X-Many", "1"), ("X-Many", "2"), ("Cookie", "a=1; b=2"), ("User-Agent", "me")],
    )
    event = event_for(response)
    assert event["version"] == "2.0"
    assert event["routeKey"] == "GET /runs/{id}"
    assert event["rawPath"] == "/runs/a b"
    assert event["rawQueryString"] == "tag=x&tag=y&empty="
    assert event["queryStringParameters"] == {"tag": "x,y", "empty": ""}
    assert event["pathParameters"] == {"id": "a b"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-many"] == "1,2"
    assert "cookie" not in event["headers"]
    assert event["isBase64Encoded"] is False
    assert "body" not in event
    context = event["requestContext"]
    assert context["stage"] == "$default"
    assert context["accountId"] == "123456789012"
    assert context["routeKey"] == event["routeKey"]
    assert context["requestId"] == response.headers["apigw-requestid"]
    assert set(context) == {
        *("accountId", "apiId", "domainName", "domainPrefix", "http", "requestId"),
        *("routeKey", "stage", "time", "timeEpoch"),
    }
    assert context["http"] == {
        "method": "GET",
        "path": "/runs/a b",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "me",
    }


def test_a_greedy_parameter_takes_the_rest_of_the_path(api: httpx.Client) -> None:
    event = event_for(api.put("/files/a/b%2Fc.txt", content=b"x"))
    assert event["routeKey"] == "ANY /files/{path+}"
    assert event["pathParameters"] == {"path": "a/b/c.txt"}


def test_text_comes_as_it_is_and_anything_else_in_base64(api: httpx.Client) -> None:
    text = event_for(api.post("/runs", json={"ü": 1}))
    assert json.loads(text["body"]) == {"ü": 1}
    assert text["isBase64Encoded"] is False
    binary = event_for(
        api.post("/runs", content=b"\xff\x00", headers={"content-type": "application/gzip"})
    )
    assert base64.b64decode(binary["body"]) == b"\xff\x00"
    assert binary["isBase64Encoded"] is True


def test_an_answer_without_a_status_code_is_the_body(api: httpx.Client) -> None:
    response = api.get("/runs/1?mode=plain")
    assert response.json() == {"hello": "world"}
    assert response.headers["content-type"] == "application/json"


def test_cookies_are_set_one_by_one_and_a_header_cannot_smuggle_another(api: httpx.Client) -> None:
    response = api.get("/runs/1?mode=cookies")
    assert response.status_code == 201
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert "evil" not in response.headers


@pytest.mark.parametrize("mode", ["raise", "malformed"])
def test_a_function_that_fails_or_answers_nonsense_is_the_gateways_500(
    api: httpx.Client, mode: str
) -> None:
    response = api.get(f"/runs/1?mode={mode}")
    assert response.status_code == 500
    assert response.json() == {"message": "Internal Server Error"}


@pytest.mark.parametrize(("method", "path"), [("GET", "/nowhere"), ("DELETE", "/runs/1")])
def test_what_no_route_takes_is_not_found(api: httpx.Client, method: str, path: str) -> None:
    response = api.request(method, path)
    assert response.status_code == 404
    assert response.json() == {"message": "Not Found"}


def test_a_body_of_more_than_ten_megabytes_is_refused(api: httpx.Client) -> None:
    response = api.post("/runs", content=b"x" * (10 * 1024 * 1024 + 1))
    assert response.status_code == 413


def test_a_preflight_is_answered_by_the_gateway(api: httpx.Client) -> None:
    answer = api.options("/runs/1", headers={"origin": "https://a.example"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert answer.headers["access-control-allow-methods"] == "GET"
    stranger = api.options("/runs/1", headers={"origin": "https://b.example"})
    assert "access-control-allow-origin" not in stranger.headers


def test_the_public_url_in_the_templates_outputs_is_the_one_served_here(
    playground: Playground,
) -> None:
    assert playground.stack.deployment.outputs["ApiUrl"] == playground.endpoints.api_url

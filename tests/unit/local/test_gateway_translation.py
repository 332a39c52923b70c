"""Routes and answers of the HTTP API, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from glovebox_local.errors import UnsupportedError
from glovebox_local.gateway.events import response_of
from glovebox_local.gateway.routes import find_route, read_api


def operation(name: str, version: str = "2.0") -> dict[str, Any]:
    uri = f"arn:aws:apigateway:r:lambda:path/2015-03-31/functions/arn:{name}/invocations"
    integration = {"type": "aws_proxy", "uri": uri, "payloadFormatVersion": version}
    return {"x-amazon-apigateway-integration": integration}


BODY = {
    "paths": {
        "/runs": {"get": operation("list"), "x-amazon-apigateway-any-method": operation("any")},
        "/runs/{id}": {"get": operation("one")},
        "/runs/latest": {"get": operation("latest")},
        "/{rest+}": {"get": operation("rest")},
        "$default": {"x-amazon-apigateway-any-method": operation("default")},
    }
}


@pytest.mark.parametrize(
    ("method", "path", "function", "parameters"),
    [
        ("GET", "/runs", "list", {}),
        ("POST", "/runs", "any", {}),
        ("GET", "/runs/7", "one", {"id": "7"}),
        ("GET", "/runs/a%2Fb", "one", {"id": "a/b"}),
        ("GET", "/runs/latest", "latest", {}),
        ("GET", "/a/b", "rest", {"rest": "a/b"}),
        ("DELETE", "/a/b", "default", {}),
        ("GET", "/", "default", {}),
    ],
)
def test_the_most_specific_route_is_taken(
    method: str, path: str, function: str, parameters: dict[str, str]
) -> None:
    match = find_route(read_api(BODY), method, path)
    assert match is not None
    assert match.route.function == f"arn:{function}"
    assert match.parameters == parameters


def test_without_a_default_what_matches_nothing_has_no_route() -> None:
    api = read_api({"paths": {"/runs": {"get": operation("list")}}})
    assert find_route(api, "GET", "/runs/1") is None
    assert find_route(api, "POST", "/runs") is None


def test_an_older_payload_format_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"payload format 2\.0"):
        read_api({"paths": {"/x": {"get": operation("f", "1.0")}}})


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        ({"statusCode": 204}, 204, b""),
        ({"statusCode": "201", "body": "x"}, 201, b"x"),
        ({"statusCode": 200, "body": "AAE=", "isBase64Encoded": True}, 200, b"\x00\x01"),
        ({"statusCode": 200, "body": {"a": 1}}, 200, b'{"a": 1}'),
        ({"a": 1}, 200, b'{"a": 1}'),
        ("words", 200, b"words"),
        (None, 200, b"null"),
    ],
)
def test_an_answer_becomes_a_response(answer: Any, status: int, body: bytes) -> None:
    response = response_of(json.dumps(answer).encode())
    assert (response.status, response.body) == (status, body)


@pytest.mark.parametrize(
    "payload",
    [
        b"not json",
        b'{"statusCode": "many"}',
        b'{"statusCode": 99}',
        b'{"statusCode": 200, "headers": "x"}',
        b'{"statusCode": 200, "body": "*", "isBase64Encoded": true}',
    ],
)
def test_an_answer_that_makes_no_sense_is_a_500(payload: bytes) -> None:
    response = response_of(payload)
    assert response.status == 500

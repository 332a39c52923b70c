"""From an HTTP request to the event of payload format 2.0, and from a function's answer back."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from glovebox_local.gateway.routes import Match
from glovebox_local.http_server import HttpRequest, HttpResponse
from glovebox_local.settings import ACCOUNT_ID

_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_JSON = [("content-type", "application/json")]


def message(status: int, text: str) -> HttpResponse:
    """An answer of the gateway's own, in its own words."""
    return HttpResponse(status, json.dumps({"message": text}).encode(), list(_JSON))


def event_of(
    request: HttpRequest,
    match: Match,
    api_id: str,
    request_id: str,
    authorizer: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The APIGatewayProxyEventV2 of a request."""
    path, _, query = request.target.partition("?")
    headers, cookies = _headers(request)
    port = headers.get("host", "").rpartition(":")[2]
    headers |= {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http"}
    headers["x-forwarded-port"] = port or "80"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": match.route.key,
        "rawPath": unquote(path),
        "rawQueryString": query,
        "headers": headers,
        "requestContext": _context(request.method, unquote(path), headers, api_id),
        "isBase64Encoded": False,
    }
    event["requestContext"] |= {"requestId": request_id, "routeKey": match.route.key}
    if cookies:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = _joined(parse_qsl(query, keep_blank_values=True))
    if match.parameters:
        event["pathParameters"] = dict(match.parameters)
    if authorizer is not None:
        event["requestContext"]["authorizer"] = authorizer
    if request.body:
        event["body"], event["isBase64Encoded"] = _body(request)
    return event


def _context(method: str, path: str, headers: Mapping[str, str], api_id: str) -> dict[str, Any]:
    now = time.time()
    return {
        "accountId": ACCOUNT_ID,
        "apiId": api_id,
        "domainName": headers.get("host", ""),
        "domainPrefix": api_id,
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": headers.get("user-agent", ""),
        },
        "stage": "$default",
        "time": _clf_time(now),
        "timeEpoch": int(now * 1000),
    }


def _headers(request: HttpRequest) -> tuple[dict[str, str], list[str]]:
    pairs = [(name, value) for name, value in request.headers if name != "cookie"]
    cookies = [
        cookie.strip()
        for name, value in request.headers
        if name == "cookie"
        for cookie in value.split(";")
        if cookie.strip()
    ]
    return _joined(pairs), cookies


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _body(request: HttpRequest) -> tuple[str, bool]:
    kind = (request.header("content-type") or "").lower()
    is_text = kind.startswith(_TEXT_TYPES) or "+json" in kind or "+xml" in kind
    if is_text and not request.header("content-encoding"):
        try:
            return request.body.decode("utf-8"), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def _clf_time(moment: float) -> str:
    # Not strftime("%b"): the month must not follow the user's language.
    utc = time.gmtime(moment)
    clock = f"{utc.tm_hour:02}:{utc.tm_min:02}:{utc.tm_sec:02}"
    return f"{utc.tm_mday:02}/{_MONTHS[utc.tm_mon - 1]}/{utc.tm_year}:{clock} +0000"


def iam_authorizer() -> dict[str, Any]:
    """What an IAM-authorised request's event says of its caller, here where everyone may call."""
    return {
        "iam": {
            "accessKey": "LOCAL",
            "accountId": ACCOUNT_ID,
            "callerId": "LOCAL",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": f"arn:aws:iam::{ACCOUNT_ID}:user/local",
            "userId": "LOCAL",
        }
    }


def response_of(payload: bytes) -> HttpResponse:
    """The HTTP answer that a function's answer means.

    An object with a statusCode is taken at its word; anything else is the body itself, as JSON
    with status 200. What cannot be understood is the gateway's 500.
    """
    try:
        answer = json.loads(payload)
    except ValueError:
        return message(500, "Internal Server Error")
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = answer if isinstance(answer, str) else json.dumps(answer)
        return HttpResponse(200, body.encode(), list(_JSON))
    try:
        return _explicit(answer)
    except (TypeError, ValueError, AttributeError, binascii.Error):
        return message(500, "Internal Server Error")


def _explicit(answer: dict[str, Any]) -> HttpResponse:
    status = int(answer["statusCode"])
    if not 100 <= status <= 599:
        msg = "not a status"
        raise ValueError(msg)
    body = answer.get("body")
    text = "" if body is None else body if isinstance(body, str) else json.dumps(body)
    raw = base64.b64decode(text, validate=True) if answer.get("isBase64Encoded") else text.encode()
    headers = [
        (str(name).lower(), _header_text(value))
        for name, value in (answer.get("headers") or {}).items()
        # The gateway computes the length and owns the connection.
        if str(name).lower() not in ("content-length", "transfer-encoding", "connection")
    ]
    headers += [("set-cookie", str(cookie)) for cookie in answer.get("cookies") or []]
    if raw and not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    return HttpResponse(status, raw, headers)


def _header_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""The gateway's server: finds the route, asks whether the caller may, invokes, translates."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from glovebox_local.executor.model import (
    InvocationResult,
    ThrottledError,
    UnknownFunctionError,
)
from glovebox_local.gateway.events import event_of, iam_authorizer, message, response_of
from glovebox_local.gateway.routes import Cors, Match, find_route, read_api
from glovebox_local.http_server import HttpRequest, HttpResponse, LoopbackServer

_PAYLOAD_BYTES = 10 * 1024 * 1024

Invoke = Callable[[str, bytes], InvocationResult]
# Says who calls: the event's `authorizer`, or None to refuse with 403.
Authorize = Callable[[HttpRequest, Match], Mapping[str, Any] | None]


def accept_anyone(_request: HttpRequest, match: Match) -> Mapping[str, Any] | None:
    """Let every caller in: the port is on loopback, and nobody here has an AWS account."""
    return iam_authorizer() if match.route.authorizers else {}


class HttpApiGateway:
    """Serves one HTTP API on a free loopback port, from construction to stop()."""

    def __init__(
        self,
        api_id: str,
        body: Mapping[str, Any],
        invoke: Invoke,
        authorize: Authorize = accept_anyone,
    ) -> None:
        self._api_id = api_id
        self._api = read_api(body)
        self._invoke = invoke
        self._authorize = authorize
        self._server = LoopbackServer(
            self._handle, name="glovebox-api", max_body_bytes=_PAYLOAD_BYTES
        )
        self.url = self._server.url
        self._server.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.stop()

    def _handle(self, request: HttpRequest) -> HttpResponse:
        cors = self._api.cors
        origin = request.header("origin")
        if cors and origin and request.method == "OPTIONS":
            return HttpResponse(204, b"", _preflight(cors, origin))
        request_id = str(uuid.uuid4())
        response = self._route(request, request_id)
        response.headers.append(("apigw-requestid", request_id))
        if cors and origin:
            response.headers += _simple(cors, origin)
        return response

    def _route(self, request: HttpRequest, request_id: str) -> HttpResponse:
        path = request.target.partition("?")[0]
        match = find_route(self._api, request.method, path)
        if match is None:
            return message(404, "Not Found")
        authorizer = self._authorize(request, match)
        if authorizer is None:
            return message(403, "Forbidden")
        event = event_of(request, match, self._api_id, request_id, authorizer or None)
        return self._call(match, json.dumps(event).encode())

    def _call(self, match: Match, payload: bytes) -> HttpResponse:
        """Invoke the route's function, for at most as long as the integration allows."""
        answer: list[HttpResponse] = []

        def run() -> None:
            answer.append(self._outcome(match, payload))

        # The function may run on when the gateway has given up, as on AWS.
        thread = threading.Thread(target=run, name="glovebox-integration", daemon=True)
        thread.start()
        thread.join(match.route.timeout_seconds)
        # An HTTP API answers 503 here; it is the REST API that answers 504.
        return answer[0] if answer else message(503, "Service Unavailable")

    def _outcome(self, match: Match, payload: bytes) -> HttpResponse:
        try:
            result = self._invoke(match.route.function, payload)
        except ThrottledError:
            return message(503, "Service Unavailable")
        except UnknownFunctionError:
            return message(500, "Internal Server Error")
        if result.error is not None:
            # A function that raised, timed out or died: API Gateway tells the caller no more.
            return message(500, "Internal Server Error")
        return response_of(result.payload)


def _allowed(cors: Cors, origin: str) -> str | None:
    if "*" in cors.origins:
        return "*"
    return origin if origin in cors.origins else None


def _simple(cors: Cors, origin: str) -> list[tuple[str, str]]:
    allowed = _allowed(cors, origin)
    if allowed is None:
        return []
    headers = [("access-control-allow-origin", allowed)]
    if cors.exposed:
        headers.append(("access-control-expose-headers", ",".join(cors.exposed)))
    if cors.credentials:
        headers.append(("access-control-allow-credentials", "true"))
    return headers


def _preflight(cors: Cors, origin: str) -> list[tuple[str, str]]:
    headers = _simple(cors, origin)
    if headers and cors.methods:
        headers.append(("access-control-allow-methods", ",".join(cors.methods)))
    if headers and cors.headers:
        headers.append(("access-control-allow-headers", ",".join(cors.headers)))
    if headers and cors.max_age_seconds is not None:
        headers.append(("access-control-max-age", str(cors.max_age_seconds)))
    return headers

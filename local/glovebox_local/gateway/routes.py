"""The routes of an HTTP API, read from its OpenAPI document, and how a path finds its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from glovebox_local.errors import UnsupportedError

_METHODS = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})
_ANY = "x-amazon-apigateway-any-method"
_INTEGRATION = "x-amazon-apigateway-integration"
_FUNCTION = re.compile(r"functions/(.+)/invocations$")
_LONGEST_INTEGRATION_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Route:
    """One route: where it leads and what it asks of its caller."""

    key: str
    """As the event has it: ``GET /runs/{id}`` or ``$default``."""
    method: str
    segments: tuple[str, ...]
    function: str
    timeout_seconds: float = _LONGEST_INTEGRATION_SECONDS
    authorizers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cors:
    """The x-amazon-apigateway-cors of an API."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class ApiDescription:
    """What the gateway serves for one API."""

    routes: tuple[Route, ...]
    cors: Cors | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A route that a request takes, with its path parameters, decoded."""

    route: Route
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_api(body: Mapping[str, Any]) -> ApiDescription:
    """Read an OpenAPI document with API Gateway's extensions. Raises UnsupportedError."""
    default_security = _names(body.get("security") or [])
    routes = [
        _route(path, method, operation, default_security)
        for path, operations in (body.get("paths") or {}).items()
        for method, operation in operations.items()
        if method.lower() in _METHODS or method == _ANY
    ]
    return ApiDescription(tuple(routes), _cors(body.get("x-amazon-apigateway-cors")))


def _names(security: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(name for requirement in security for name in requirement)


def _route(
    path: str, method: str, operation: Mapping[str, Any], default_security: tuple[str, ...]
) -> Route:
    verb = "ANY" if method == _ANY else method.upper()
    integration = operation.get(_INTEGRATION) or {}
    found = _FUNCTION.search(str(integration.get("uri", "")))
    if found is None or str(integration.get("payloadFormatVersion")) != "2.0":
        msg = f"{verb} {path}: only functions with payload format 2.0 can be served locally"
        raise UnsupportedError(msg)
    is_default = path in ("$default", "/$default")
    security = operation.get("security")
    milliseconds = float(integration.get("timeoutInMillis", _LONGEST_INTEGRATION_SECONDS * 1000))
    return Route(
        key="$default" if is_default else f"{verb} {path}",
        method="ANY" if is_default else verb,
        segments=("{proxy+}",) if is_default else _segments(path),
        function=found[1],
        timeout_seconds=milliseconds / 1000,
        authorizers=default_security if security is None else _names(security),
    )


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/")) if path.strip("/") else ()


def _cors(configured: Mapping[str, Any] | None) -> Cors | None:
    if not configured:
        return None
    age = configured.get("maxAge")
    return Cors(
        origins=tuple(configured.get("allowOrigins", ())),
        methods=tuple(configured.get("allowMethods", ())),
        headers=tuple(configured.get("allowHeaders", ())),
        exposed=tuple(configured.get("exposeHeaders", ())),
        max_age_seconds=None if age is None else int(age),
        credentials=bool(configured.get("allowCredentials")),
    )


def find_route(api: ApiDescription, method: str, path: str) -> Match | None:
    """The most specific route for a request: literal before {parameter} before {greedy+}, a named
    method before ANY, and $default last of all. ``path`` is as it came, percent-encoded."""
    parts = _segments(path)
    best: tuple[tuple[object, ...], Match] | None = None
    for route in api.routes:
        if route.method not in (method, "ANY"):
            continue
        if route.key == "$default":
            rank: tuple[object, ...] = (1,)
            parameters: dict[str, str] | None = {}
        else:
            parameters = _parameters(route.segments, parts)
            kinds = tuple(_kind(segment) for segment in route.segments)
            rank = (0, kinds, route.method == "ANY")
        if parameters is not None and (best is None or rank < best[0]):
            best = (rank, Match(route, parameters))
    return best[1] if best else None


def _kind(segment: str) -> int:
    if not segment.startswith("{"):
        return 0
    return 2 if segment.endswith("+}") else 1


def _parameters(pattern: tuple[str, ...], parts: tuple[str, ...]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for index, segment in enumerate(pattern):
        if segment.endswith("+}"):
            rest = parts[index:]
            if not rest:
                return None
            found[segment[1:-2]] = unquote("/".join(rest))
            return found
        if index >= len(parts):
            return None
        if segment.startswith("{"):
            if not parts[index]:
                return None
            found[segment[1:-1]] = unquote(parts[index])
        elif segment != unquote(parts[index]):
            return None
    return found if len(parts) == len(pattern) else None

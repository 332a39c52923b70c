"""HTTP, as the API speaks it: one shape for every failure, and what is refused unread."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from glovebox.domain.errors import ManifestError, NotFound
from glovebox.domain.request_body import BodyRefused
from glovebox.usecases.account import ReportNotReady
from glovebox.usecases.api_documents import Error, Forbidden, GatewayRefusal, StartedRun
from glovebox.usecases.rerun import RerunRefused
from glovebox.usecases.start import KeyReused

MAX_BODY_BYTES = 2 * 1024 * 1024


def json_answer(status: HTTPStatus, document: Any) -> Response[Any]:
    """An answer in JSON."""
    return Response(int(status), "application/json", json.dumps(document))


def error_answer(
    status: HTTPStatus, code: str, message: str, details: dict[str, Any] | None = None
) -> Response[Any]:
    """The one shape of failures."""
    error = {"code": code, "message": message, "details": details or {}}
    return json_answer(status, {"error": error})


RUN_OPERATIONS = ("get_run", "get_changes", "get_report", "post_cancel", "post_rerun")
"""What can be asked of a run that was started."""
_BY_GATEWAY = {HTTPStatus.UNAUTHORIZED: GatewayRefusal, HTTPStatus.FORBIDDEN: Forbidden}


def answers(status: HTTPStatus, model: type, *refusals: HTTPStatus) -> dict[int, Any]:
    """What the OpenAPI description says of a route's answers."""
    said: dict[int, Any] = {
        int(status): {
            "description": (model.__doc__ or "").partition("\n")[0],
            "content": {"application/json": {"model": model}},
        }
    }
    if model is StartedRun:
        said[int(status)]["links"] = {
            name: {"operationId": name, "parameters": {"run_id": "$response.body#/run_id"}}
            for name in RUN_OPERATIONS
        }
    usual = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)
    for refusal in (*usual, *refusals):
        shape = _BY_GATEWAY.get(refusal, Error)
        error = {"application/json": {"model": shape}}
        said[int(refusal)] = {"description": refusal.phrase, "content": error}
    return said


NO_RUN = (HTTPStatus.NOT_FOUND,)
BAD_BODY = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
CONFLICT = (HTTPStatus.CONFLICT,)


def refusal_of(event: Mapping[str, Any]) -> Response[Any] | None:
    """What is refused before anything of the request is read, wherever it goes."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    body = event.get("body") or ""
    # The characters of Base64 stand for three quarters of their number.
    size = len(body) * 3 // 4 if event.get("isBase64Encoded") else len(body)
    told = headers.get("content-length", "0")
    if size > MAX_BODY_BYTES or (told.isdecimal() and int(told[:20]) > MAX_BODY_BYTES):
        words = f"a body has at most {MAX_BODY_BYTES} bytes"
        return error_answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", words)
    kind, _, more = headers.get("content-type", "").lower().partition(";")
    charset = more.replace(" ", "").replace('"', "")
    if body and (kind.strip() != "application/json" or charset not in ("", "charset=utf-8")):
        words = "send application/json in UTF-8"
        return error_answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", words)
    return None


def refuse_manifest(error: ManifestError) -> Response[Any]:
    """A manifest, or a body, with problems: all of them, each with its path."""
    names = ("message", "path", "line", "column", "suggestion")
    problems = [{name: getattr(p, name) for name in names} for p in error.problems]
    if isinstance(error, BodyRefused):
        status, code = HTTPStatus.BAD_REQUEST, "bad_request"
    else:
        status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "manifest_invalid"
    return error_answer(status, code, str(error), {"problems": problems})


def refuse_values(error: RequestValidationError) -> Response[Any]:
    """Parameters or a body of the wrong form."""
    problems = [
        {"message": one["msg"], "path": ".".join(str(part) for part in one["loc"])}
        for one in error.errors()
    ]
    words = "; ".join(f"{one['path']}: {one['message']}" for one in problems)
    details = {"problems": problems}
    return error_answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", words, details)


def refuse_bytes(_: UnicodeDecodeError) -> Response[Any]:
    """A body in another encoding."""
    return error_answer(HTTPStatus.BAD_REQUEST, "bad_request", "the body is not UTF-8")


def refuse_value(_: ValueError) -> Response[Any]:
    """A parameter that has the right form and means nothing."""
    words = "a parameter is malformed"
    return error_answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", words)


def refuse_rerun(error: RerunRefused) -> Response[Any]:
    """A run that cannot be repeated so."""
    return error_answer(HTTPStatus.CONFLICT, error.code, str(error))


def refuse_key(error: KeyReused) -> Response[Any]:
    """An idempotency key that stands for another request."""
    return error_answer(HTTPStatus.CONFLICT, "idempotency_key_reused", str(error))


def not_found(error: NotFound) -> Response[Any]:
    """No such run or test, or no report yet."""
    code = "report_not_ready" if isinstance(error, ReportNotReady) else "not_found"
    return error_answer(HTTPStatus.NOT_FOUND, code, str(error))


def no_route(app: APIGatewayHttpResolver, _: NotFoundError) -> Response[Any]:
    """No such route, or not with this method."""
    path = app.current_event.path
    routes = [*app._static_routes, *app._dynamic_routes]  # Powertools tells it in no other way
    allowed = sorted({route.method for route in routes if route.rule.match(path)})
    if not allowed:
        return error_answer(HTTPStatus.NOT_FOUND, "not_found", "no such route")
    words = f"this route takes {', '.join(allowed)}"
    answer = error_answer(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", words)
    answer.headers["Allow"] = ", ".join(allowed)
    return answer


REFUSALS: dict[type[Exception], Callable[[Any], Response[Any]]] = {
    ManifestError: refuse_manifest,
    RequestValidationError: refuse_values,
    UnicodeDecodeError: refuse_bytes,
    ValueError: refuse_value,
    RerunRefused: refuse_rerun,
    KeyReused: refuse_key,
    NotFound: not_found,
}


def answer_failures(app: APIGatewayHttpResolver) -> None:
    """Give an app the answers to everything that its routes raise on purpose."""
    for kind, answer in REFUSALS.items():
        app.exception_handler(kind)(answer)
    app.not_found(partial(no_route, app))

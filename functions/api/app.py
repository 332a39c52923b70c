"""The API door: starts runs, tells of them, stops them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from glovebox.adapters import aws
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.stepfunctions_workflow import StepFunctionsWorkflow
from glovebox.adapters.system import SystemClock, new_token
from glovebox.domain import keys
from glovebox.domain.caller import owner_of_caller
from glovebox.domain.errors import ManifestError, NotFound
from glovebox.domain.rerun import Selection
from glovebox.ports import Artifacts, Clock, Runs, Workflow
from glovebox.settings import Settings
from glovebox.telemetry import LogEvent, make_logger
from glovebox.usecases.accept import AcceptManifest
from glovebox.usecases.account import REPORT_FILES, URL_SECONDS, ReportNotReady, RunAccount
from glovebox.usecases.rerun import RerunRefused, RerunRun
from glovebox.usecases.source import MAX_ARCHIVE_BYTES
from glovebox.usecases.start import KeyReused, StartRun
from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_RUNS_PER_PAGE = 100
IDEMPOTENCY_KEY = re.compile("[!-~]{1,100}")
logger = make_logger()
app = APIGatewayHttpResolver()


class ApiSettings(Settings):
    """What api needs to know."""

    table: str = Field(alias="GLOVEBOX_TABLE")
    data_bucket: str = Field(alias="GLOVEBOX_DATA_BUCKET")
    state_machine_arn: str = Field(alias="GLOVEBOX_STATE_MACHINE_ARN")


class SourceRequest(BaseModel):
    """The body of POST /sources."""

    model_config = ConfigDict(extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=1, le=MAX_ARCHIVE_BYTES)


class RerunRequest(BaseModel):
    """The body of POST /runs/{run_id}/rerun."""

    model_config = ConfigDict(extra="forbid")

    select: Selection = Selection.ALL


@dataclass(frozen=True)
class UseCases:
    """What the routes call."""

    start: StartRun
    account: RunAccount
    rerun: RerunRun
    artifacts: Artifacts


def wire(runs: Runs, artifacts: Artifacts, workflow: Workflow, clock: Clock) -> UseCases:
    """The use cases over their ports."""
    accept = AcceptManifest(runs, artifacts, workflow, clock)
    start = StartRun(accept, runs, clock, new_token)
    account = RunAccount(runs, artifacts)
    return UseCases(start, account, RerunRun(start, account, artifacts), artifacts)


@cache
def wired() -> UseCases:
    """The use cases in this stack."""
    settings = ApiSettings.from_env(os.environ)
    return wire(
        DynamoRuns(aws.dynamodb(), settings.table),
        S3Artifacts(aws.s3(), settings.data_bucket),
        StepFunctionsWorkflow(aws.stepfunctions(), settings.state_machine_arn),
        SystemClock(),
    )


@app.post("/sources")
def post_source() -> Response[str]:
    """Hand out a place to upload a source archive to."""
    request = SourceRequest.model_validate(_json_body())
    key = keys.source_key(_owner(), request.sha256, new_token())
    artifacts = wired().artifacts
    upload = {
        "method": "PUT",
        "url": artifacts.upload_url(key, expires_in_seconds=URL_SECONDS),
        "headers": {"content-type": "application/gzip"},
    }
    document = {"source": artifacts.uri(key), "upload": upload, "expires_in_seconds": URL_SECONDS}
    return _json(HTTPStatus.CREATED, document)


@app.post("/runs")
def post_run() -> Response[str]:
    """Start a run."""
    body = _json_body()
    if set(body) != {"manifest"} or not isinstance(body["manifest"], dict):
        return _error(HTTPStatus.BAD_REQUEST, "bad_request", 'send {"manifest": {…}}')
    run = wired().start(
        json.dumps(body["manifest"]),
        owner=_owner(),
        idempotency_key=_idempotency_key(),
        asked=body,
    )
    run_id = run.run_id
    logger.info(LogEvent.RUN_ACCEPTED, run_id=run_id, name_of_run=run.name)
    document = {"run_id": run.run_id, "name": run.name, "state": run.state}
    return _json(HTTPStatus.ACCEPTED, document)


@app.get("/runs")
def get_runs() -> Response[str]:
    """List runs, newest first."""
    limit = int(app.current_event.get_query_string_value("limit", "20"))
    cursor = app.current_event.get_query_string_value("cursor")
    page = wired().account.list(_owner(), max(1, min(limit, MAX_RUNS_PER_PAGE)), cursor)
    return _json(HTTPStatus.OK, page)


@app.get("/runs/<run_id>")
def get_run(run_id: str) -> Response[str]:
    """Tell of one run."""
    return _json(HTTPStatus.OK, wired().account.run(run_id, _owner()))


@app.get("/runs/<run_id>/tests")
def get_changes(run_id: str) -> Response[str]:
    """Tell which attempts changed since a cursor."""
    since = app.current_event.get_query_string_value("since")
    return _json(HTTPStatus.OK, wired().account.changes(run_id, _owner(), since))


@app.get("/runs/<run_id>/tests/<key>")
def get_test(run_id: str, key: str) -> Response[str]:
    """Tell of all attempts at one test, with their logs."""
    return _json(HTTPStatus.OK, wired().account.test(run_id, _owner(), key))


@app.get("/runs/<run_id>/report")
def get_report(run_id: str) -> Response[str]:
    """Say where to fetch a report."""
    wanted = app.current_event.get_query_string_value("format", "json")
    if wanted not in REPORT_FILES:
        words = f"format is one of {', '.join(REPORT_FILES)}"
        return _error(HTTPStatus.BAD_REQUEST, "bad_request", words)
    return _json(HTTPStatus.OK, wired().account.report_url(run_id, _owner(), wanted))


@app.post("/runs/<run_id>/cancel")
def post_cancel(run_id: str) -> Response[str]:
    """Ask a run to stop."""
    return _json(HTTPStatus.ACCEPTED, wired().account.cancel(run_id, _owner()))


@app.post("/runs/<run_id>/rerun")
def post_rerun(run_id: str) -> Response[str]:
    """Repeat a run, whole or in part."""
    request = RerunRequest.model_validate(_json_body())
    run = wired().rerun(
        run_id,
        owner=_owner(),
        selection=request.select,
        idempotency_key=_idempotency_key(),
    )
    logger.info(LogEvent.RUN_ACCEPTED, run_id=run.run_id, name_of_run=run.name)
    document = {"run_id": run.run_id, "name": run.name, "state": run.state, "rerun_of": run_id}
    return _json(HTTPStatus.ACCEPTED, document)


class NobodyCalls(Exception):
    """The gateway does not say who calls: no route is for everybody."""


def _owner() -> str:
    context = app.current_event.raw_event.get("requestContext") or {}
    owner = owner_of_caller(context.get("authorizer") or {})
    if owner is None:
        raise NobodyCalls
    return owner


@app.exception_handler(NobodyCalls)
def refuse_nobody(_: NobodyCalls) -> Response[str]:
    """A request that no authoriser has seen."""
    return _error(HTTPStatus.FORBIDDEN, "forbidden", "the request names no caller")


def _idempotency_key() -> str | None:
    key = (app.current_event.headers or {}).get("idempotency-key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        words = "Idempotency-Key has 1 to 100 visible ASCII characters"
        raise BodyRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_request", words)
    return key


@app.exception_handler(RerunRefused)
def refuse_rerun(error: RerunRefused) -> Response[str]:
    """A run that cannot be repeated so."""
    return _error(HTTPStatus.CONFLICT, error.code, str(error))


@app.exception_handler(KeyReused)
def refuse_key(error: KeyReused) -> Response[str]:
    """An idempotency key that stands for another request."""
    return _error(HTTPStatus.CONFLICT, "idempotency_key_reused", str(error))


class BodyRefused(Exception):
    """The request's body cannot be used. Carries the HTTP answer."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message
        super().__init__(message)


def _json_body() -> dict[str, Any]:
    content_type = (app.current_event.headers or {}).get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        words = "send application/json"
        raise BodyRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", words)
    text = app.current_event.decoded_body or ""
    if len(text) > MAX_BODY_BYTES:
        words = f"a body has at most {MAX_BODY_BYTES} bytes"
        raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", words)
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        words = "the body is not JSON"
        raise BodyRefused(HTTPStatus.BAD_REQUEST, "bad_request", words) from error
    if not isinstance(body, dict):
        words = "the body is not a JSON object"
        raise BodyRefused(HTTPStatus.BAD_REQUEST, "bad_request", words)
    return body


@app.exception_handler(BodyRefused)
def refuse_body(error: BodyRefused) -> Response[str]:
    """A body that is no JSON object."""
    return _error(error.status, error.code, error.message)


@app.exception_handler(ManifestError)
def refuse_manifest(error: ManifestError) -> Response[str]:
    """A manifest with problems: all of them, each with its path."""
    logger.info(LogEvent.REQUEST_REFUSED, problems=len(error.problems))
    names = ("message", "path", "line", "column", "suggestion")
    problems = [{name: getattr(p, name) for name in names} for p in error.problems]
    details = {"problems": problems}
    return _error(HTTPStatus.BAD_REQUEST, "manifest_invalid", str(error), details)


@app.exception_handler(ReportNotReady)
def report_not_ready(error: ReportNotReady) -> Response[str]:
    """No report yet."""
    return _error(HTTPStatus.NOT_FOUND, "report_not_ready", str(error))


@app.exception_handler(NotFound)
def not_found(error: NotFound) -> Response[str]:
    """No such run or test."""
    return _error(HTTPStatus.NOT_FOUND, "not_found", str(error))


@app.exception_handler([ValidationError, ValueError])
def bad_request(error: Exception) -> Response[str]:
    """A parameter or body of the wrong form."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _error(HTTPStatus.BAD_REQUEST, "bad_request", f"{where}: {first['msg']}")
    return _error(HTTPStatus.BAD_REQUEST, "bad_request", "a parameter is malformed")


@app.not_found
def no_route(_: NotFoundError) -> Response[str]:
    """No such route."""
    return _error(HTTPStatus.NOT_FOUND, "not_found", "no such route")


def _json(status: HTTPStatus, document: Any) -> Response[str]:
    return Response(int(status), "application/json", json.dumps(document))


def _error(
    status: HTTPStatus, code: str, message: str, details: dict[str, Any] | None = None
) -> Response[str]:
    error = {"code": code, "message": message, "details": details or {}}
    return _json(status, {"error": error})


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    return app.resolve(event, context)

"""The API door: starts runs, tells of them, stops and repeats them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query
from glovebox.adapters import aws
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.adapters.stepfunctions_workflow import StepFunctionsWorkflow
from glovebox.adapters.system import SystemClock, new_token
from glovebox.domain import keys
from glovebox.domain.caller import owner_of_caller
from glovebox.domain.documents import DocumentFormat
from glovebox.domain.manifest_types import NAME_PATTERN
from glovebox.domain.moment import to_epoch_seconds
from glovebox.domain.outcome import Conclusion, RunState
from glovebox.domain.request_body import read_body
from glovebox.domain.rerun import Selection
from glovebox.domain.run import Run
from glovebox.domain.run_filter import RunFilter
from glovebox.http_answers import (
    BAD_BODY,
    CONFLICT,
    NO_RUN,
    answer_failures,
    answers,
    error_answer,
    json_answer,
    refusal_of,
)
from glovebox.ports import Artifacts, Clock, Runs, Workflow
from glovebox.settings import Settings
from glovebox.telemetry import LogEvent, make_logger
from glovebox.usecases import api_documents as documents
from glovebox.usecases.accept import AcceptManifest
from glovebox.usecases.account import URL_SECONDS, RunAccount
from glovebox.usecases.rerun import RerunRun
from glovebox.usecases.start import StartRun
from pydantic import Field

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MAX_RUNS_PER_PAGE = 100
DOCS_PATH = "/docs"
PROTECTIONS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
logger = make_logger()
app = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=read_body)
answer_failures(app)
NOBODY = error_answer(HTTPStatus.FORBIDDEN, "forbidden", "the request names no caller")
RunId = Annotated[str, Path(pattern=documents.RUN_ID)]
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", pattern=documents.IDEMPOTENCY_KEY)
]


class ApiSettings(Settings):
    """What api needs to know."""

    table: str = Field(alias="GLOVEBOX_TABLE")
    data_bucket: str = Field(alias="GLOVEBOX_DATA_BUCKET")
    state_machine_arn: str = Field(alias="GLOVEBOX_STATE_MACHINE_ARN")


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


@app.post(
    "/sources",
    operation_id="post_source",
    summary="Ask for a place to upload a source archive to",
    status_code=201,
    responses=answers(HTTPStatus.CREATED, documents.SourcePlace, *BAD_BODY),
)
def post_source(request: Annotated[documents.SourceRequest, Body()]) -> Response[Any]:
    """The archive goes to the URL of the answer, not through the API."""
    key = keys.source_key(_owner(), request.sha256, new_token())
    artifacts = wired().artifacts
    upload = {
        "method": "PUT",
        "url": artifacts.upload_url(key, expires_in_seconds=URL_SECONDS),
        "headers": {"content-type": "application/gzip"},
    }
    document = {"source": artifacts.uri(key), "upload": upload, "expires_in_seconds": URL_SECONDS}
    return json_answer(HTTPStatus.CREATED, document)


@app.post(
    "/runs",
    operation_id="post_run",
    summary="Start a run",
    status_code=202,
    responses=answers(HTTPStatus.ACCEPTED, documents.StartedRun, *BAD_BODY, *CONFLICT),
)
def post_run(
    request: Annotated[documents.RunRequest, Body()], idempotency_key: IdempotencyKey = None
) -> Response[Any]:
    """The manifest's own problems are answered all at once, each with its path."""
    run = wired().start(
        json.dumps(request.manifest),
        owner=_owner(),
        idempotency_key=idempotency_key,
        asked={"manifest": request.manifest},
    )
    return _started(run)


@app.post(
    "/runs/<run_id>/rerun",
    operation_id="post_rerun",
    summary="Repeat a run, whole or in part",
    status_code=202,
    responses=answers(HTTPStatus.ACCEPTED, documents.StartedRun, *BAD_BODY, *NO_RUN, *CONFLICT),
)
def post_rerun(
    run_id: RunId,
    request: Annotated[documents.RerunRequest, Body()],
    idempotency_key: IdempotencyKey = None,
) -> Response[Any]:
    """A new run of the same manifest and source."""
    selection = Selection(request.select)
    run = wired().rerun(
        run_id, owner=_owner(), selection=selection, idempotency_key=idempotency_key
    )
    return _started(run)


@app.get(
    "/runs",
    operation_id="get_runs",
    summary="List runs",
    responses=answers(HTTPStatus.OK, documents.RunList),
)
def get_runs(
    limit: Annotated[int, Query(ge=1, le=MAX_RUNS_PER_PAGE)] = 20,
    cursor: Annotated[str | None, Query(pattern=documents.PLACE)] = None,
    name: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
    state: Annotated[RunState | None, Query()] = None,
    conclusion: Annotated[Conclusion | None, Query()] = None,
    since: Annotated[str | None, Query(pattern=documents.MOMENT)] = None,
) -> Response[Any]:
    """The caller's own and the stack's, newest first. With filters a page may be short while
    `next` is set."""
    earliest = None if since is None else to_epoch_seconds(since)
    wanted = RunFilter(name, state, conclusion, earliest)
    return json_answer(HTTPStatus.OK, wired().account.list(_owner(), limit, cursor, wanted))


@app.get(
    "/runs/<run_id>",
    operation_id="get_run",
    summary="Tell of one run",
    responses=answers(HTTPStatus.OK, documents.RunDocument, *NO_RUN),
)
def get_run(run_id: RunId) -> Response[Any]:
    """Where the run is, and how it ended."""
    return json_answer(HTTPStatus.OK, wired().account.run(run_id, _owner()))


@app.get(
    "/runs/<run_id>/tests",
    operation_id="get_changes",
    summary="Tell which attempts changed since a cursor",
    responses=answers(HTTPStatus.OK, documents.ChangeList, *NO_RUN),
)
def get_changes(
    run_id: RunId, since: Annotated[str | None, Query(pattern=documents.MOMENT)] = None
) -> Response[Any]:
    """Oldest change first. A change may be told twice, and never not at all."""
    return json_answer(HTTPStatus.OK, wired().account.changes(run_id, _owner(), since))


@app.get(
    "/runs/<run_id>/tests/<key>",
    operation_id="get_test",
    summary="Tell of one test",
    responses=answers(HTTPStatus.OK, documents.TestDocument, *NO_RUN),
)
def get_test(run_id: RunId, key: Annotated[str, Path(pattern=documents.TEST_KEY)]) -> Response[Any]:
    """All attempts at it, with their logs."""
    return json_answer(HTTPStatus.OK, wired().account.test(run_id, _owner(), key))


@app.get(
    "/runs/<run_id>/report",
    operation_id="get_report",
    summary="Say where to fetch a report",
    responses=answers(HTTPStatus.OK, documents.Download, *NO_RUN),
)
def get_report(
    run_id: RunId,
    wanted: Annotated[DocumentFormat, Query(alias="format")] = DocumentFormat.JSON,
) -> Response[Any]:
    """Once the run is finished; before that, 404 with `report_not_ready`."""
    return json_answer(HTTPStatus.OK, wired().account.report_url(run_id, _owner(), wanted))


@app.post(
    "/runs/<run_id>/cancel",
    operation_id="post_cancel",
    summary="Ask a run to stop",
    status_code=202,
    responses=answers(HTTPStatus.ACCEPTED, documents.RunDocument, *NO_RUN),
)
def post_cancel(run_id: RunId) -> Response[Any]:
    """Asked again, or after the run's end, it changes nothing."""
    return json_answer(HTTPStatus.ACCEPTED, wired().account.cancel(run_id, _owner()))


@app.get("/openapi.json", include_in_schema=False)
def get_openapi() -> Response[Any]:
    """This API's own description. It changes with a release only, so it has an ETag."""
    text = openapi_text()
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = app.current_event.headers.get("if-none-match", "")
    if tag in (one.strip().removeprefix("W/") for one in known.split(",")):
        return Response(304, headers=headers)
    return Response(200, "application/json", text, headers=headers)


def description() -> dict[str, Any]:
    """What the routes do not say of themselves."""
    # Imported where it is used: a third of the function's start, and few ask for it.
    from aws_lambda_powertools.event_handler.openapi.models import APIKey, APIKeyIn

    signature = APIKey(
        name="Authorization", in_=APIKeyIn.header, description="AWS Signature Version 4"
    )
    return {
        "title": "Glovebox",
        "version": "1",
        "description": "Starts, shows, stops and repeats runs. Docs: docs/api.md.",
        "security_schemes": {"sigv4": signature},
        "security": [{"sigv4": []}],
    }


def openapi_text() -> str:
    """The description, as docs/openapi.json has it."""
    document = json.loads(app.get_openapi_json_schema(**description()))
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


@cache
def add_docs_page() -> None:
    """Serve GET /docs from now on."""
    app.enable_swagger(path=DOCS_PATH, compress=True, **description())


def _started(run: Run) -> Response[Any]:
    logger.info(LogEvent.RUN_ACCEPTED, run_id=run.run_id, name_of_run=run.name)
    names = ("run_id", "name", "state", "rerun_of")
    return json_answer(HTTPStatus.ACCEPTED, {name: getattr(run, name) for name in names})


def _owner() -> str:
    return str(app.context["owner"])


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    owner = owner_of_caller((event.get("requestContext") or {}).get("authorizer") or {})
    refusal = NOBODY if owner is None else refusal_of(event)
    if refusal is not None:
        headers = {"Content-Type": "application/json"}
        answer: dict[str, Any] = {
            "statusCode": refusal.status_code,
            "headers": headers,
            "body": refusal.body,
        }
    else:
        if event.get("rawPath") == DOCS_PATH:
            add_docs_page()
        app.append_context(owner=owner)
        answer = app.resolve(event, context)
    # Nobody is to take an answer for anything but what it says it is, or to keep it.
    answer["headers"] = {**PROTECTIONS, **answer.get("headers", {})}
    if answer["statusCode"] >= 400:
        logger.info(LogEvent.REQUEST_REFUSED, code=answer["statusCode"])
    return answer

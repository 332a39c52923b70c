"""The API behind the embedded gateway, with made-up requests from schemathesis: `make fuzz-api`.

The gateway has the template's own routes and refuses who sends no Authorization, as a deployed one
does; the function's handler runs in this process over fakes. All checks are on, links as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from glovebox_local.executor.model import InvocationResult
from glovebox_local.gateway.events import iam_authorizer, message
from glovebox_local.gateway.routes import Match
from glovebox_local.gateway.server import HttpApiGateway
from glovebox_local.http_server import HttpRequest, HttpResponse

from tests.faults.api_door import ApiDoor
from tests.faults.handlers import ROOT, context
from tests.stack.definitions import Json, expanded

CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 404, 409]
# A manifest has rules of its own, which the description of the request does not repeat.
[[operations]]
include-name = "POST /runs"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 409, 422]
# The 99th month has the form of a moment.
[[operations]]
include-name = "GET /runs/{run_id}/tests"
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 422]
"""
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"


class Guarded(HttpApiGateway):
    """Lets in who is signed. 401 without any credentials, as with JWT: schemathesis wants it."""

    def _route(self, request: HttpRequest, request_id: str) -> HttpResponse:
        said = request.header("authorization")
        if said is None:
            return message(401, "Unauthorized")
        return super()._route(request, request_id)


def _signed(request: HttpRequest, _: Match) -> Mapping[str, Any] | None:
    return iam_authorizer() if request.header("authorization") == "signed" else None


def _routes() -> Json:
    [api] = expanded("AWS::ApiGatewayV2::Api").values()
    body: Json = api["Body"]
    for operations in body["paths"].values():
        for operation in operations.values():
            uri = "arn:aws:lambda:functions/api/invocations"
            operation["x-amazon-apigateway-integration"]["uri"] = uri
    return body


@contextmanager
def served() -> Iterator[str]:
    """The address of the API."""
    one_at_a_time = threading.Lock()  # as in Lambda: the handler is not made for threads
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        door = ApiDoor(Path(folder), patch)

        def invoke(_: str, payload: bytes) -> InvocationResult:
            with one_at_a_time:
                answer = door.app.lambda_handler(json.loads(payload), context())
            return InvocationResult(json.dumps(answer).encode(), "1")

        gateway = Guarded("api", _routes(), invoke, authorize=_signed)
        try:
            yield gateway.url
        finally:
            gateway.stop()


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis against the API, once through all its phases."""
    with served() as url, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
        command = [str(SCHEMATHESIS), "run", str(ROOT / "docs/openapi.json"), f"--url={url}"]
        command += ["--checks=all", "--header=Authorization: signed", "--no-color", *options]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    done = fuzz(*sys.argv[1:])
    sys.stdout.write(done.stdout[-20_000:] + done.stderr[-5000:])
    sys.exit(done.returncode)

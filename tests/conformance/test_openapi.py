"""The server against the vendor's description, with requests that schemathesis makes up.

A status must be promised, or listed in the table of deviations; a body must be as it was promised.
Half of the requests are to what exists, half to whatever was made up. The same requests come every
time; GLOVEBOX_CONFORMANCE_EXAMPLES asks for more of them than the few that take seconds.
"""

from __future__ import annotations

import copy
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.conformance import descriptions
from tests.conformance.deviations import complaint, table
from tests.integration.sandbox.client import API_KEY, Box, Client, request

CONTROL = descriptions.load("control")
AGENT = descriptions.load("agent")
if CONTROL is None or AGENT is None:
    pytest.skip(descriptions.MISSING, allow_module_level=True)

EXAMPLES = int(os.environ.get("GLOVEBOX_CONFORMANCE_EXAMPLES", "4"))
ROWS = table()
_PATIENCE_SECONDS = 30


def schema(description: descriptions.Description) -> Any:
    config = {
        "seed": 1,
        "generation": {
            "deterministic": True,
            "database": "none",
            "max-examples": EXAMPLES,
            "with-security-parameters": False,
        },
        "phases": {"stateful": {"enabled": False}},
    }
    raw = copy.deepcopy(description.raw)
    for named in raw["components"]["schemas"].values():
        for value in named.get("properties", {}).values():
            # Both SDKs take null for what is not there, though the files do not say so.
            value["nullable"] = True
    return schemathesis.openapi.from_dict(raw, config=SchemathesisConfig.from_dict(config))


def one_test_each(description: descriptions.Description, test: Any) -> None:
    """Make a test of its own of every operation: schemathesis' own names say not which."""
    everything = schema(description)
    for method, path in description.operations():
        chosen = everything.include(method=method, path=path).parametrize()
        globals()[f"{test.__name__.lstrip('_')}[{method} {path}]"] = chosen(test)


@dataclass
class Subjects:
    """What exists for requests to be about; what a request ends is made anew."""

    client: Client
    _box: Box | None = None
    process_id: str = ""
    made: list[str] = field(default_factory=list)

    def box(self) -> Box:
        if self._box is not None and not self._runs(self._box):
            self._box.kill()
            self._box = None
        if self._box is None:
            self._box = self.client.create(timeout_seconds=600)
            self._box.write("/workspace/file", "content")
            body = {"command": "sleep", "args": ["600"]}
            self.process_id = self._box.ask("POST", "/commands/background", body).body["process_id"]
        return self._box

    def remember(self, sandbox_id: str) -> None:
        """Keep a few of the sandboxes that requests made, and end the oldest."""
        self.made.append(sandbox_id)
        if len(self.made) > 5:
            self.client.ask("DELETE", f"/v1/sandboxes/{self.made.pop(0)}")

    def close(self) -> None:
        for sandbox_id in self.made:
            self.client.ask("DELETE", f"/v1/sandboxes/{sandbox_id}")
        if self._box is not None:
            self._box.kill()

    def _runs(self, box: Box) -> bool:
        answer = self.client.ask("GET", f"/v1/sandboxes/{box.id}")
        return answer.status == 200 and answer.body["status"] == "running"


@pytest.fixture(scope="module")
def subjects(client: Client) -> Iterator[Subjects]:
    subjects = Subjects(client)
    yield subjects
    subjects.close()


def _about_what_exists(case: Any) -> bool:
    """Every other request, by its content: a chance of ours would be another one each time."""
    content = f"{case.method}{case.path}{case.path_parameters}{case.query}{case.body!r}"
    return zlib.crc32(content.encode("utf-8", "surrogatepass")) % 2 == 0


def _verdict(api: descriptions.Description, case: Any, answer: Any) -> None:
    wrong = complaint(api, ROWS, case.method, case.path, answer.status_code)
    assert wrong is None, wrong
    case.validate_response(answer, checks=[response_schema_conformance])


def _test_the_control_plane_answers_as_described(case: Any, subjects: Subjects) -> None:
    box = subjects.box()
    if _about_what_exists(case):
        known = {"id": box.id, "name": "base", "templateID": "none", "buildID": "none"}
        case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
        if case.path == "/v1/sandboxes" and isinstance(case.body, dict):
            case.body = {**case.body, "template_name": "base"}
            case.body.pop("template_id", None)
    case.headers = {**(case.headers or {}), "X-API-Key": API_KEY}
    answer = case.call(base_url=subjects.client.url, timeout=_PATIENCE_SECONDS)
    if (case.method, case.path, answer.status_code) == ("POST", "/v1/sandboxes", 201):
        subjects.remember(answer.json()["id"])
    assert CONTROL is not None
    _verdict(CONTROL, case, answer)


def _test_the_agent_answers_as_described(case: Any, subjects: Subjects) -> None:
    box = subjects.box()
    if _about_what_exists(case):
        known: dict[str, Any] = {"path": "/workspace/file", "process_id": subjects.process_id}
        case.query = {**(case.query or {}), **{k: v for k, v in known.items() if k in case.query}}
        if isinstance(case.body, dict):
            harmless = {"command": "true", "language": "python", "code": "1", "path": "/tmp/file"}
            case.body = {k: harmless.get(k, v) for k, v in case.body.items()}
    case.headers = {**(case.headers or {}), "Authorization": f"Bearer {box.token}"}
    answer = case.call(base_url=box.url, timeout=_PATIENCE_SECONDS)
    assert AGENT is not None
    _verdict(AGENT, case, answer)


one_test_each(CONTROL, _test_the_control_plane_answers_as_described)
one_test_each(AGENT, _test_the_agent_answers_as_described)


def _guarded(description: descriptions.Description) -> list[Any]:
    raw = description.raw["paths"]
    return [
        pytest.param(description, method, path, id=f"{method} {path}")
        for method, path in description.operations()
        if raw[path][method.lower()].get("security")
    ]


@pytest.mark.parametrize(("description", "method", "path"), [*_guarded(CONTROL), *_guarded(AGENT)])
@pytest.mark.parametrize("key", [None, "wrong"])
def test_nothing_that_asks_for_a_key_opens_without(
    description: descriptions.Description,
    method: str,
    path: str,
    key: str | None,
    subjects: Subjects,
) -> None:
    box = subjects.box()
    url = subjects.client.url if description.api == "control" else box.url
    headers = {"X-API-Key": key, "Authorization": f"Bearer {key}"} if key else {}
    status = request(url, method, path, None, headers).status
    assert status == 401
    assert complaint(description, ROWS, method, path, status) is None

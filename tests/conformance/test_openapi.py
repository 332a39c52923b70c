"""The server against the vendor's description, with requests that schemathesis makes up.

A status must be promised, or listed in the table of deviations; a body must be as it was promised.
Each is sent as it was made up, and again about what exists, with sound values. The same requests
come every time; GLOVEBOX_CONFORMANCE_EXAMPLES asks for more than the few that take seconds.
"""

from __future__ import annotations

import copy
import os
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
    _built: tuple[str, str] = ("none", "none")
    _builds: int = 0
    made: list[str] = field(default_factory=list)

    def box(self) -> Box:
        if self._box is not None and not self._runs(self._box):
            self._box.kill()
            self._box = None
        if self._box is None:
            self._box = self.client.create(timeout_seconds=600)
            self._box.write("/workspace/file", "content")
            body = {"code": "sleep 600", "language": "bash"}
            started = self._box.ask("POST", "/execute/background", body).body
            self.process_id = started.get("process_id", "none")
        return self._box

    def build(self) -> tuple[str, str]:
        """(template's id, build's id) of a template, or of none on a server that builds none."""
        if self.client.ask("GET", f"/v1/templates/{self._built[0]}").status != 200:
            run = {"type": "RUN", "args": ["true"]}
            body = {"name": f"subject-{self._builds}", "from_image": "base", "steps": [run]}
            sizes = {"cpu": 1, "memory": 512, "diskGB": 1}
            answer = self.client.ask("POST", "/v1/templates/build", body | sizes)
            if answer.status == 201:
                self._builds += 1
                self._built = (answer.body["template_id"], answer.body["build_id"])
        return self._built

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


# What a request may hold that is about what exists; the same words mean the same everywhere.
_SOUND: dict[str, Any] = {
    "args": [],
    "code": "1",
    "command": "true",
    "content": "eA==",
    "content_length": 4,
    "cpu": 1,
    "diskGB": 1,
    "disk_gb": 1,
    "encoding": "base64",
    "env": {"A": "1"},
    "env_vars": {"A": "1"},
    "files_hash": "hash",
    "from_image": "base",
    "internet_access": False,
    "language": "python",
    "memory": 512,
    "memory_mb": 512,
    "merge": True,
    "mode": "0644",
    "name": "made-up",
    "overwrite": True,
    "readyCmd": None,
    "region": "local",
    "registry_credentials": None,
    "skipCache": False,
    "startCmd": None,
    "steps": [{"type": "RUN", "args": ["true"]}],
    "template_id": None,
    "template_name": "base",
    "timeout": 5,
    "timeout_seconds": 600,
    "update": False,
    "workdir": "/tmp",
}


def _made_sound(body: Any, **more: str) -> Any:
    """A body with the same names and sound values; with every name if none of them is known."""
    if not isinstance(body, dict):
        return body
    sound = _SOUND | more
    known = {name: value for name, value in sound.items() if name in body}
    return {**body, **(known or sound)}


@pytest.fixture(scope="module")
def subjects(client: Client) -> Iterator[Subjects]:
    subjects = Subjects(client)
    yield subjects
    subjects.close()


def _verdict(api: descriptions.Description, case: Any, answer: Any) -> None:
    wrong = complaint(api, ROWS, case.method, case.path, answer.status_code)
    assert wrong is None, wrong
    case.validate_response(answer, checks=[response_schema_conformance])


def _test_the_control_plane_answers_as_described(case: Any, subjects: Subjects) -> None:
    assert CONTROL is not None
    key = {"X-API-Key": API_KEY}
    box = subjects.box()
    _verdict(CONTROL, case, _sent(case, subjects.client.url, key, subjects))
    template_id, build_id = subjects.build()
    known = {"id": box.id, "name": "base", "templateID": template_id, "buildID": build_id}
    case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
    case.body = _made_sound(case.body)
    _verdict(CONTROL, case, _sent(case, subjects.client.url, key, subjects))


def _test_the_agent_answers_as_described(case: Any, subjects: Subjects) -> None:
    assert AGENT is not None
    box = subjects.box()
    token = {"Authorization": f"Bearer {box.token}"}
    _verdict(AGENT, case, _sent(case, box.url, token, subjects))
    known = {"path": "/workspace/file", "process_id": subjects.process_id}
    case.query = {name: known.get(name, value) for name, value in (case.query or {}).items()}
    # A folder that is made is no file to write to.
    case.body = _made_sound(case.body, path=f"/tmp/{case.path.rpartition('/')[2]}")
    _verdict(AGENT, case, _sent(case, box.url, token, subjects))


def _sent(case: Any, url: str, key: dict[str, str], subjects: Subjects) -> Any:
    headers = {name: value for name, value in (case.headers or {}).items() if name not in key}
    case.headers = headers | key
    answer = case.call(base_url=url, timeout=_PATIENCE_SECONDS)
    if (case.method, case.path, answer.status_code) == ("POST", "/v1/sandboxes", 201):
        subjects.remember(answer.json()["id"])
    return answer


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

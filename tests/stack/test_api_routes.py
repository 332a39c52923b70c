"""The API's description, the template's routes and who may call them: generated from the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.api_description import described
from tests.faults.api_door import ApiDoor
from tests.stack.definitions import ROOT, Json, expanded

DESCRIPTION: Json = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))
PLAIN = {("GET", "/openapi.json"), ("GET", "/docs")}
"""Served, and no part of what they describe."""


def routes() -> Iterator[tuple[str, str]]:
    for path, operations in DESCRIPTION["paths"].items():
        for method in operations:
            yield method.upper(), path


def deployed() -> Json:
    [api] = expanded("AWS::ApiGatewayV2::Api").values()
    body: Json = api["Body"]
    return body


def test_the_file_is_what_the_function_says_of_itself() -> None:
    text = (ROOT / "docs/openapi.json").read_text(encoding="utf-8")
    assert text == described(), "type: make openapi"
    assert DESCRIPTION["openapi"].startswith("3.1.")


def test_the_template_has_every_route_of_the_file_and_one_for_the_rest() -> None:
    found = {
        (method.upper(), path)
        for path, operations in deployed()["paths"].items()
        for method in operations
        if path != "/$default"
    }
    assert found == {*routes(), *PLAIN}
    assert "/$default" in deployed()["paths"]


def test_every_route_of_the_template_is_authorised() -> None:
    for path, operations in deployed()["paths"].items():
        for method, operation in operations.items():
            assert operation["security"] == [{"AWS_IAM": []}], (method, path)


@pytest.mark.parametrize(("method", "path"), [*routes(), *sorted(PLAIN), ("GET", "/nowhere")])
def test_every_route_is_refused_without_a_caller(
    method: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = ApiDoor(tmp_path, monkeypatch)
    asked = path.replace("{run_id}", door.start()).replace("{key}", "0" * 20)
    started = list(door.spine.workflow.started)
    answer = door.call(method, asked, {"select": "all"} if method == "POST" else None, caller=None)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert door.spine.workflow.started == started

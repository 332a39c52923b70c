"""Reading a build request: what counts into its key, and where paths may lead."""

from __future__ import annotations

from typing import Any

import pytest
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.images.catalogue import Image
from glovebox_local.sandbox.images.request import is_in_place, read, resolved, stands_in
from glovebox_local.sandbox.images.steps import settings_of

BASE = Image("1", "base", "Base", "")
RUN = {"type": "RUN", "args": ["true"]}
COPY = {"type": "COPY", "args": [".", "/workspace"], "filesHash": "h"}


def body(*steps: dict[str, Any], **given: Any) -> dict[str, Any]:
    sizes = {"cpu": 1, "memory": 512, "diskGB": 1}
    return {"name": "n", "from_image": "base", "steps": list(steps), **sizes, **given}


def key(*steps: dict[str, Any], base: str = "", digest: str = "d", **given: Any) -> str:
    return read(body(*steps, **given)).key(base, {"h": digest})


def test_the_key_has_all_that_the_files_depend_on() -> None:
    keys = [
        key(RUN, COPY),
        key(COPY, RUN),
        key(RUN),
        key(RUN, COPY, base="other"),
        key(RUN, COPY, digest="other"),
        key(RUN, COPY | {"args": [".", "/app"]}),
        key(RUN, COPY, {"type": "ENV", "args": ["A", "1"]}),
        key(RUN, COPY, {"type": "ENV", "args": ["A", "2"]}),
        key(RUN, COPY, {"type": "WORKDIR", "args": ["/app"]}),
    ]
    assert len(set(keys)) == len(keys)


def test_the_key_has_nothing_else() -> None:
    given: dict[str, Any] = {
        "name": "m",
        "cpu": 8,
        "update": True,
        "skipCache": True,
        "startCmd": "serve",
    }
    assert key(RUN, COPY, **given) == key(RUN, COPY | {"filesHash": "h"})


def test_a_cmd_step_is_the_start_command_unless_one_is_given() -> None:
    command = {"type": "CMD", "args": ["serve"]}
    request = read(body(RUN, command))
    assert request.start is not None
    assert (request.start.command, [step.kind for step in request.steps]) == ("serve", ["RUN"])
    other = read(body(RUN, command, startCmd="other")).start
    assert other is not None
    assert other.command == "other"


def test_a_ready_checks_times_are_milliseconds() -> None:
    ready = {"type": "process", "processName": "x", "timeout": 1500, "interval": 1}
    start = read(body(RUN, startCmd="x", readyCmd=ready)).start
    assert start is not None
    assert start.ready is not None
    assert (start.ready.timeout_seconds, start.ready.interval_seconds) == (1.5, 0.02)


@pytest.mark.parametrize(
    ("name", "stands"),
    [
        ("python:3.11-slim", True),
        ("ubuntu:22.04", True),
        ("node", True),
        ("library/debian:12", True),
        ("alpine:3", False),
        ("registry.example.com/python:3", False),
        ("someone/python", False),
        ("python:3\n", False),
        ("python:" + "x" * 100, False),
    ],
)
def test_only_plain_public_systems_are_stood_in_for(name: str, stands: bool) -> None:
    assert stands_in(name) == stands


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/workspace", True),
        ("/workspace/a/", True),
        ("/app/b", True),
        ("/tmp/c", True),
        ("/workspacex", False),
        ("/etc", False),
        ("/", False),
        ("/appendix", False),
    ],
)
def test_files_of_an_image_lie_in_its_folders_only(path: str, allowed: bool) -> None:
    assert is_in_place(path) == allowed


@pytest.mark.parametrize(
    ("path", "workdir", "whole"),
    [
        ("a", "/app", "/app/a"),
        ("a/", "/app", "/app/a/"),
        (".", "/app", "/app"),
        ("../etc", "/workspace", "/etc"),
        ("/workspace/../../etc/", "/app", "/etc/"),
        ("/", "/app", "/"),
    ],
)
def test_a_path_is_seen_from_the_working_directory(path: str, workdir: str, whole: str) -> None:
    assert resolved(path, workdir) == whole


def test_variables_and_directory_are_those_of_the_last_step_that_set_them() -> None:
    steps = read(
        body(
            {"type": "ENV", "args": ["A", "1"]},
            {"type": "ENV", "args": ["A", "2"]},
            {"type": "WORKDIR", "args": ["/app"]},
            {"type": "WORKDIR", "args": ["deeper/"]},
            RUN,
        )
    ).steps
    outcome = settings_of(BASE, steps)
    assert (outcome.env, outcome.workdir) == ({"A": "2"}, "/app/deeper")
    assert settings_of(BASE, steps[:1]).env == {"A": "1"}


@pytest.mark.parametrize("steps", [[RUN, 5], [RUN, {"type": "RUN", "args": "true"}], "RUN"])
def test_what_is_no_step_is_refused_by_its_place(steps: object) -> None:
    with pytest.raises(ApiError) as refused:
        read(body(steps=steps))
    assert refused.value.status == 400
    assert "steps" in refused.value.message

"""The table of deviations is true: the server does what a row says, and the files do not say it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.conformance import descriptions
from tests.conformance.descriptions import Api
from tests.conformance.deviations import Deviation, complaint, table
from tests.integration.sandbox.client import API_KEY, Box, Client, request

ROWS = table()
Seen = set[tuple[Api, str, str, int]]
_TOO_LARGE = b" " * (17 * 1024 * 1024)
_LATE = {"timeout": 0.2}


def test_the_table_is_there() -> None:
    assert ROWS


def test_an_unlisted_answer_is_complained_about() -> None:
    description = descriptions.load("agent")
    if description is None:
        pytest.skip(descriptions.MISSING)
    assert complaint(description, [], "GET", "/env", 200) is None
    assert complaint(description, [], "GET", "/env", 418) is not None
    assert complaint(description, [], "POST", "/commands/run", 500) is not None
    assert complaint(description, [], "GET", "/nowhere", 200) is not None
    row = Deviation("agent", "GET", "/en*", frozenset({418}), "")
    assert complaint(description, [row], "GET", "/env", 418) is None
    assert complaint(description, [row], "PUT", "/env", 418) is not None


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_is_what_happens_and_not_what_was_promised(row: Deviation, seen: Seen) -> None:
    description = descriptions.load("control" if row.api == "control" else "agent")
    answers = {answer for answer in seen if row.covers(*answer)}
    if description is not None:
        answers = {a for a in answers if complaint(description, [], *a[1:]) is not None}
    assert {status for *_, status in answers} == row.statuses


@pytest.fixture(scope="module")
def seen(client: Client) -> Iterator[Seen]:
    """What the server answers to requests that are made for the rows."""
    box = client.create()
    yield _on_the_control_plane(client) | _at_the_agent(box) | _as_it_ends(client) | _when_full()
    box.kill()


def _on_the_control_plane(client: Client) -> Seen:
    seen: Seen = set()

    def ask(method: str, path: str, body: object = None, kind: str = "application/json") -> None:
        headers = {"X-API-Key": API_KEY, "Content-Type": kind}
        status = request(client.url, method, path, body, headers).status
        seen.add(("control", method, path.partition("?")[0], status))

    ask("POST", "/v1/sandboxes", _TOO_LARGE)
    ask("POST", "/v1/sandboxes", b"{}", "text/plain")
    ask("POST", "/v1/sandboxes", {"template_name": "none"})
    ask("GET", "/v1/sandboxes?limit=none")
    ask("PUT", "/v1/sandboxes/none/timeout", {"timeout_seconds": 60})
    return seen


def _at_the_agent(box: Box) -> Seen:
    seen: Seen = set()

    def ask(method: str, path: str, body: object = None, **headers: str) -> None:
        status = box.ask(method, path, body, **headers).status
        seen.add(("agent", method, path.partition("?")[0], status))

    code = {"code": "1", "language": "python"}
    ask("GET", "/env", Authorization="Bearer wrong")
    ask("PUT", "/env", _TOO_LARGE, **{"Content-Type": "application/json"})
    ask("PUT", "/env", b"{}", **{"Content-Type": "text/plain"})
    ask("GET", "/files/exists?path=/etc")
    ask("GET", "/files/list?path=/workspace/none")
    ask("POST", "/files/write", {"path": "/tmp/once", "content": ""})
    ask("POST", "/files/write", {"path": "/tmp/once", "content": "", "overwrite": False})
    ask("POST", "/commands/run", {"command": "sleep", "args": ["60"], **_LATE})
    ask("POST", "/execute", {"code": "sleep 60", "language": "bash", **_LATE})
    ask("POST", "/execute/ipython", code)
    ask("POST", "/execute/async", {**code, "callback_url": "http://127.0.0.1:9/"})
    ask("GET", "/desktop/windows")
    for path in ("/execute/kill/{}", "/processes/{}/kill"):
        started = box.ask("POST", "/execute/background", {"code": "sleep 60", "language": "bash"})
        known = started.body.get("process_id", "none")
        ask("POST", path.format(known))
        ask("POST", path.format("none"))
    return seen


def _as_it_ends(client: Client) -> Seen:
    """A command and code that their sandbox ends under."""
    seen: Seen = set()
    asked: list[tuple[str, dict[str, object]]] = [
        ("/commands/run", {"command": "bash", "args": ["-c", "touch /tmp/up; sleep 60"]}),
        ("/execute", {"code": "touch /tmp/up; sleep 60", "language": "bash"}),
    ]
    for path, body in asked:
        box = client.create()
        ending = threading.Thread(target=_end_when_up, args=(box,))
        ending.start()
        seen.add(("agent", "POST", path, box.ask("POST", path, body).status))
        ending.join()
    return seen


def _end_when_up(box: Box) -> None:
    box.command("for i in $(seq 500); do [ -e /tmp/up ] && break; sleep 0.01; done")
    box.kill()


def _when_full() -> Seen:
    with SandboxServerProcess(API_KEY, options=("--max-sandboxes", "1")) as server:
        small = Client(server.url)
        small.create()
        status = small.ask("POST", "/v1/sandboxes", {"template_name": "base"}).status
    return {("control", "POST", "/v1/sandboxes", status)}

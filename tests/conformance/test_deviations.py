"""The table of deviations is true: the server does what a row says, and the files do not say it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from glovebox_local.sandbox.server import SandboxServerError, SandboxServerProcess

from tests.conformance import descriptions
from tests.conformance.descriptions import Api
from tests.conformance.deviations import Deviation, complaint, table
from tests.integration.sandbox.client import API_KEY, Box, Client, request

ROWS = table()
Seen = set[tuple[Api, str, str, int]]
_TEMPLATES = "/v1/templates"
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
    seen = _on_the_control_plane(client) | _at_the_agent(box) | _of_templates(client)
    yield seen | _as_it_ends(client) | _as_it_stands_still(client) | _at_the_limits()
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


def _as_it_stands_still(client: Client) -> Seen:
    """A sandbox that is paused, and may neither be started nor asked."""
    box = client.create()
    client.ask("POST", f"/v1/sandboxes/{box.id}/pause")
    start = f"/v1/sandboxes/{box.id}/start"
    seen: Seen = {
        ("control", "POST", start, client.ask("POST", start).status),
        ("agent", "GET", "/env", box.ask("GET", "/env").status),
    }
    box.kill()
    return seen


def _of_templates(client: Client) -> Seen:
    """Uploads by a link, and an update of what is not there."""
    seen: Seen = set()
    for archive in (b"four", b"other"):
        link = client.ask(
            "POST", f"{_TEMPLATES}/files/upload-link", {"files_hash": "h", "content_length": 4}
        )
        if link.status == 200 and not link.body["present"]:
            url = urlsplit(link.body["upload_url"])
            kind = {"Content-Type": "application/gzip"}
            for _ in range(2):  # a link serves once
                status = request(client.url, "PUT", url.path, archive, kind).status
                seen.add(("control", "PUT", url.path, status))
    status = client.ask("POST", f"{_TEMPLATES}/build", _build("none") | {"update": True}).status
    seen.add(("control", "POST", f"{_TEMPLATES}/build", status))
    return seen


def _build(name: str) -> dict[str, object]:
    run = {"type": "RUN", "args": ["sleep 60"]}
    sizes = {"cpu": 1, "memory": 512, "diskGB": 1}
    return {"name": name, "from_image": "base", "steps": [run], **sizes}


def _at_the_limits() -> Seen:
    """One sandbox more than may live or than is paid for, and one template too many."""
    return (
        _of_server("--max-sandboxes", _create_three)
        | _of_server("--plan-limit", _create_three)
        | _of_server("--max-images", _build_three)
    )


def _of_server(limit: str, asked: Callable[[Client], Seen]) -> Seen:
    """Nothing of a server that knows no such limit: its row is not seen, then."""
    with (
        contextlib.suppress(SandboxServerError),
        SandboxServerProcess(API_KEY, options=(limit, "2")) as server,
    ):
        return asked(Client(server.url))
    return set()


def _create_three(client: Client) -> Seen:
    create = {"template_name": "base"}
    answers = [client.ask("POST", "/v1/sandboxes", create) for _ in range(3)]
    return {("control", "POST", "/v1/sandboxes", answer.status) for answer in answers}


def _build_three(client: Client) -> Seen:
    path = f"{_TEMPLATES}/build"
    answers = [client.ask("POST", path, _build(f"t{number}")) for number in range(3)]
    return {("control", "POST", path, answer.status) for answer in answers}

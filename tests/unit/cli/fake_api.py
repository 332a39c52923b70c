"""A Glovebox API on a real port of this machine, whose runs go as a test scripts them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

RUN_ID = "20261123-120000-abcdef01"
TIME = "2026-11-23T12:00:00.000000Z"


def attempt(test_id: str, outcome: str | None = "passed", **more: Any) -> dict[str, Any]:
    """An attempt as `GET /runs/{id}/tests` tells of it; without outcome it is running."""
    return {
        "suite": "unit",
        "test_id": test_id,
        "key": key_of(test_id),
        "number": 1,
        "state": "running" if outcome is None else "finished",
        "outcome": outcome,
        "duration_seconds": None if outcome is None else 0.021,
        "message": None,
        "sandbox_id": "sb-1",
        "started_at": TIME,
        "changed_at": TIME,
        **more,
    }


def key_of(test_id: str) -> str:
    return test_id.encode("utf-8", "surrogatepass").hex()[-20:]


def a_test(
    test_id: str, result: str = "passed", *, outcomes: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """A test of report.json; its attempts end as `outcomes` says, by default one as the result."""
    log = more.pop("log", {"text": f"output of {test_id}\n", "key": None, "bytes": 9})
    return {
        "suite": "unit",
        "test_id": test_id,
        "key": key_of(test_id),
        "file": "tests/test_a.py",
        "line": 3,
        "result": result,
        "flaky": False,
        "cached": False,
        "duration_seconds": 0.021,
        "message": None if result == "passed" else f"{test_id} says no",
        "attempts": [
            {
                "number": number,
                "outcome": outcome,
                "exit_code": 0 if outcome == "passed" else 1,
                "sandbox_id": f"sb-{number}",
                "started_at": TIME,
                "duration_seconds": 0.021,
                "phases": {"create": 0.1},
                "message": None,
                "fault": None,
                "log": log,
                "artifacts": [],
            }
            for number, outcome in enumerate(outcomes or (result,), 1)
        ],
        **more,
    }


RESULTS = ("passed", "failed", "errored", "timed_out", "skipped", "cancelled")


def report_of(*tests: dict[str, Any], conclusion: str = "passed", **more: Any) -> dict[str, Any]:
    """report.json, its counts those of the tests."""
    results = [test["result"] for test in tests]
    counts: dict[str, int] = {result: results.count(result) for result in RESULTS}
    counts["flaky"] = sum(test["flaky"] for test in tests)
    return {
        "schema_version": 1,
        "run_id": RUN_ID,
        "name": "demo",
        "conclusion": conclusion,
        "message": None,
        "started_at": TIME,
        "finished_at": TIME,
        "duration_seconds": 12.34,
        "summary": {"total": len(tests), **counts, "cached": 0},
        "tests": list(tests),
        "usage": {"sandboxes": len(tests), "sandbox_seconds": 1.0, "estimated_cost": 0.0},
        **more,
    }


@dataclass(frozen=True)
class Heard:
    """A request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


@dataclass
class FakeApi:
    """The state that the handler serves. A test changes it, also while a run is followed."""

    url: str = ""
    run: dict[str, Any] = field(default_factory=dict)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    tests: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    refusals: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    """Answers to give first, by `METHOD /path`; a body of None drops the connection."""
    looks: int = 0
    on_look: Callable[[FakeApi], None] = lambda _: None
    """Called before each answer to `GET /runs/{id}` and `GET /runs/{id}/tests`."""
    on_cancel: Callable[[FakeApi], None] = lambda _: None
    heard: list[Heard] = field(default_factory=list)
    guard: Callable[[Heard], bool] = lambda _: True
    """Whether a request to the API itself is let in."""

    def __post_init__(self) -> None:
        self.run = {
            "run_id": RUN_ID,
            "name": "demo",
            "state": "accepted",
            "conclusion": None,
            "message": None,
            "created_at": TIME,
            "started_at": TIME,
            "finished_at": None,
            "total": None,
            "parallelism": 4,
            "parallelism_asked": 10,
            "summary": None,
            "cancel_requested": False,
        }

    def finish(self, report: dict[str, Any] | None, conclusion: str | None = None) -> None:
        """End the run, with a report or without."""
        self.run |= {"state": "finished", "finished_at": TIME}
        self.run["conclusion"] = conclusion or (report or {}).get("conclusion")
        if report is not None:
            self.run |= {"total": report["summary"]["total"], "summary": report["summary"]}
            self.documents["json"] = json.dumps(report, indent=1).encode()
            self.documents["junit"] = b"<?xml version='1.0'?>\n<testsuites/>\n"

    def paths(self, method: str) -> list[str]:
        """The paths that were asked for with a method."""
        return [path for m, path, _ in self.requests if m == method]

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and body."""
        if method == "POST" and path == "/sources":
            upload = {"method": "PUT", "url": f"{self.url}/blob", "headers": {"x-test": "1"}}
            address = "s3://data/sources/abc.tar.gz"
            return 201, {"source": address, "upload": upload, "expires_in_seconds": 900}
        if method == "POST" and path == "/runs":
            return 202, {"run_id": RUN_ID, "name": "demo", "state": "accepted"}
        if path == "/runs":
            return 200, {"runs": [self.run], "next": None}
        head = f"/runs/{RUN_ID}"
        if path.startswith("/documents/"):
            return 200, self.documents[path.removeprefix("/documents/")]
        if not path.startswith(head):
            return 404, error("not_found", "no such run")
        return self._answer_run(method, path.removeprefix(head), query)

    def _answer_run(self, method: str, rest: str, query: dict[str, str]) -> tuple[int, Any]:
        if rest == "":
            self.looks += 1
            self.on_look(self)
            return 200, self.run
        if rest == "/tests":
            self.looks += 1
            self.on_look(self)
            # One attempt of overlap: the same change is delivered twice, as the contract allows.
            begin = max(0, int(query.get("since", "0")) - 1)
            changes = {"attempts": self.attempts[begin:], "cursor": str(len(self.attempts))}
            return 200, {"run": self.run, **changes}
        if rest == "/cancel" and method == "POST":
            self.run["cancel_requested"] = True
            self.on_cancel(self)
            return 202, {**self.run}
        if rest == "/rerun" and method == "POST":
            return 202, {"run_id": RUN_ID, "name": "demo", "state": "accepted"}
        if rest == "/report":
            if query["format"] not in self.documents:
                return 404, error("report_not_ready", "not yet")
            url = f"{self.url}/documents/{query['format']}"
            return 200, {"url": url, "expires_in_seconds": 900}
        key = rest.removeprefix("/tests/")
        if key in self.tests:
            return 200, self.tests[key]
        return 404, error("not_found", "no such test")


def error(code: str, message: str, details: Any = None) -> dict[str, Any]:
    """The API's one shape of errors."""
    return {"error": {"code": code, "message": message, "details": details or {}}}


@contextmanager
def serving() -> Iterator[FakeApi]:
    """A fake API on a port of its own."""
    api = FakeApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.command == "PUT":
                api.uploads.append(content)
                body: Any = dict(self.headers)
            else:
                body = json.loads(content) if content else None
            api.requests.append((self.command, path, body))
            heard = Heard(self.command, self.path, dict(self.headers), content)
            api.heard.append(heard)
            presigned = path.startswith(("/blob", "/documents/"))
            waiting = api.refusals.get(f"{self.command} {path}")
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if waiting:
                status, answer = waiting.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
            elif not presigned and not api.guard(heard):
                status, answer = 403, {"message": "Forbidden"}
            elif self.command == "PUT":
                status, answer = 200, b""
            else:
                status, answer = api.answer(self.command, path, query, body)
            self.respond(status, answer)

        def respond(self, status: int, answer: Any) -> None:
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            """Tests read stderr."""

    return Handler

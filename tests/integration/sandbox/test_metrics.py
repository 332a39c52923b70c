"""What the agent says of itself and of its sandbox, and what it says it has not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration.sandbox.client import Box, request


def test_the_sandboxs_use_is_measured(box: Box) -> None:
    idle = request(box.url, "GET", "/system").body
    assert idle["processes"] == 1
    assert idle["memory"]["total_mb"] == 256
    assert idle["disk"]["total_mb"] == 64
    spin = "import os; x = bytearray(100 << 20); open('/workspace/x', 'wb').write(x[:20 << 20])\n"
    spin += "open('/tmp/ready', 'w').close()\nwhile True: pass"
    box.ask("POST", "/execute/background", {"code": spin})
    box.shell("until [ -e /tmp/ready ]; do sleep 0.01; done")
    busy = request(box.url, "GET", "/system").body
    assert busy["processes"] == 2
    assert busy["memory"]["used_mb"] > 100
    assert busy["disk"]["used_mb"] >= 20
    assert busy["cpu"]["usage_percent"] > 5
    assert idle["cpu"]["usage_percent"] < busy["cpu"]["usage_percent"]


@pytest.mark.parametrize("path", ["/metrics", "/metrics/snapshot"])
def test_requests_are_counted_by_route(box: Box, path: str) -> None:
    box.shell("true")
    box.shell("true")
    box.file("read", "/workspace/none")
    box.ask("POST", "/execute/kill/unknown")
    box.ask("GET", "/nothing/at/all")
    figures = box.ask("GET", path).body
    assert figures["requests_total"] == {
        "POST /commands/run": 2,
        "GET /files/read": 1,
        "POST /execute/kill/{}": 1,
        "other": 1,
    }
    assert figures["errors_total"] == {
        "GET /files/read": 1,
        "POST /execute/kill/{}": 1,
        "other": 1,
    }
    assert (figures["total_requests"], figures["total_errors"]) == (5, 3)
    assert figures["avg_duration_ms"]["POST /commands/run"] > 0
    assert figures["uptime_seconds"] > 0
    assert figures["process"]["count"] >= 1


def test_no_caller_makes_the_figures_grow(box: Box) -> None:
    for number in range(50):
        box.ask("GET", f"/nothing/{number}")
        box.ask("GET", f"/execute/processes/{number}")
        box.ask("GET", f"/desktop/{number}")
    assert len(box.ask("GET", "/metrics").body["requests_total"]) == 3


def test_prometheus_can_read_the_figures(box: Box) -> None:
    box.shell("true")
    answer = box.ask("GET", "/metrics/prometheus")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.raw.decode().splitlines()
    sample = re.compile(r'[a-z_]+(\{method="[A-Za-z]*",path="[^"]*"\})? [0-9.e+]+')
    assert all(line.startswith("# TYPE ") or sample.fullmatch(line) for line in lines)
    assert 'glovebox_agent_requests_total{method="POST",path="/commands/run"} 1' in lines


def test_nothing_is_cached_and_said_so(box: Box) -> None:
    for _ in range(2):
        box.ask("POST", "/execute", {"code": "1 + 1"})
    stats = box.ask("GET", "/cache/stats").body
    assert (stats["enabled"], stats["size"], stats["hits"]) == (False, 0, 0)
    assert box.ask("POST", "/cache/clear").body["entries_removed"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", "/desktop/screenshot"), ("GET", "/desktop/vnc/status"), ("GET", "/desktop/x")),
        *(("POST", "/update/apply"), ("GET", "/update/backups"), ("POST", "/update/upload")),
    ],
)
def test_what_there_is_none_of_is_not_available(shared: Box, method: str, path: str) -> None:
    answer = shared.ask(method, path)
    kind = path.split("/")[1].upper()
    assert (answer.status, answer.body["code"]) == (503, f"{kind}_NOT_AVAILABLE")


@pytest.mark.parametrize("path", ["/system", "/"])
def test_these_need_no_token(shared: Box, path: str) -> None:
    assert request(shared.url, "GET", path).status == 200


@pytest.mark.parametrize("path", ["/metrics", "/processes", "/jupyter/sessions", "/cache/stats"])
def test_these_need_a_token(shared: Box, path: str) -> None:
    assert request(shared.url, "GET", path).status == 401


def test_every_endpoint_that_is_named_is_there(shared: Box) -> None:
    named = request(shared.url, "GET", "/").body["endpoints"]
    assert len(named) > 40
    for endpoint in named:
        method, path = endpoint.split(" ")
        if method == "WS":
            assert shared.ask("GET", path).body["code"] == "WEBSOCKET_REQUIRED"
            continue
        answer = shared.ask(method, path.replace("{}", "nothing"))
        assert answer.status not in (405, 501), endpoint
        if answer.status == 404:
            assert json.loads(answer.raw)["code"] != "NOT_FOUND", endpoint


def test_no_document_of_ours_is_read_from_the_sandbox(shared: Box) -> None:
    # The program of the session is sent to it; there is no file of ours in there.
    name = Path("session_program.py").name
    assert shared.shell(f"find / -name {name} 2>/dev/null | head -1") == ""

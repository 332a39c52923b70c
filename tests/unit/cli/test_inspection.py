"""`report`, `status`, `list`, `cancel` and `logs`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import RUN_ID, FakeApi, a_test, attempt, key_of, report_of


@pytest.fixture
def finished(api: FakeApi) -> FakeApi:
    api.finish(report_of(a_test("a"), a_test("b", "failed"), conclusion="failed"))
    return api


def test_report_shows_what_the_run_showed(finished: FakeApi, cli: Cli, tmp_path: Path) -> None:
    ended = cli("report", RUN_ID, "--api", finished.url)
    assert ended.code == 0, "it was asked to show, and it did"
    assert "FAIL  unit b" in ended.text
    assert "FAILED  1 passed, 1 failed" in ended.text
    for name in ("json", "junit"):
        ended = cli("report", RUN_ID, "--api", finished.url, "-o", name)
        assert ended.out == finished.documents[name]
    cli("report", RUN_ID, "--api", finished.url, "--report", str(tmp_path / "out"))
    assert (tmp_path / "out/report.json").read_bytes() == finished.documents["json"]


def test_a_report_that_is_not_there_yet(api: FakeApi, cli: Cli) -> None:
    api.run["state"] = "running"
    ended = cli("report", RUN_ID, "--api", api.url)
    assert ended.code == 3
    assert "still running" in ended.err


def test_status(finished: FakeApi, cli: Cli) -> None:
    finished.run["message"] = "as it is"
    ended = cli("status", RUN_ID, "--api", finished.url)
    assert ended.code == 0
    for words in (RUN_ID, "demo", "failed", "1 passed, 1 failed", "as it is"):
        assert words in ended.text
    ended = cli("status", RUN_ID, "--api", finished.url, "-o", "json")
    assert json.loads(ended.text) == finished.run


def test_status_of_a_run_under_way(api: FakeApi, cli: Cli) -> None:
    api.run |= {"state": "running", "total": 7}
    assert "running  7 tests" in cli("status", RUN_ID, "--api", api.url).text


def test_list(finished: FakeApi, cli: Cli) -> None:
    ended = cli("list", "--api", finished.url)
    assert ended.code == 0
    assert ended.text.split()[:2] == [RUN_ID, "failed"]
    ended = cli("list", "--api", finished.url, "-o", "json")
    assert json.loads(ended.text) == {"runs": [finished.run]}


def test_a_filtered_list_follows_short_pages_to_their_end(
    finished: FakeApi, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []
    pages = [([], "place-1"), ([finished.run], "place-2"), ([finished.run], None)]
    stock = finished.answer

    def answer(method: str, path: str, query: dict[str, str], body: object) -> tuple[int, object]:
        if path != "/runs":
            return stock(method, path, query, body)
        asked.append(query)
        runs, following = pages[len(asked) - 1]
        return 200, {"runs": runs, "next": following}

    monkeypatch.setattr(finished, "answer", answer)
    options = ["--name", "demo", "--conclusion", "failed", "--since", "2026-11-30", "--limit", "2"]
    ended = cli("list", "--api", finished.url, "-o", "json", *options)
    assert ended.code == 0, ended.err
    assert json.loads(ended.text) == {"runs": [finished.run, finished.run]}
    filters = {"name": "demo", "conclusion": "failed", "since": "2026-11-30T00:00:00.000000Z"}
    assert asked == [
        {**filters, "limit": "2"},
        {**filters, "limit": "2", "cursor": "place-1"},
        {**filters, "limit": "1", "cursor": "place-2"},
    ]


def test_a_filter_that_takes_nothing_says_so(
    finished: FakeApi, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "answer", lambda *_: (200, {"runs": [], "next": None}))
    ended = cli("list", "--api", finished.url, "--state", "running")
    assert ended.code == 0
    assert "No run is like that." in ended.text + ended.err


def test_cancel(api: FakeApi, cli: Cli) -> None:
    ended = cli("cancel", RUN_ID, "--api", api.url)
    assert ended.code == 0
    assert api.run["cancel_requested"]
    assert "was asked to stop" in ended.err


@pytest.mark.parametrize("command", ["report", "status", "cancel", "logs"])
@pytest.mark.parametrize("run_id", ["nope", "../x", ".."])
def test_a_run_that_is_not_there(api: FakeApi, cli: Cli, command: str, run_id: str) -> None:
    ended = cli(command, run_id, "--api", api.url)
    assert ended.code == 2
    assert "not found" in ended.err


@pytest.fixture
def logged(api: FakeApi) -> FakeApi:
    api.attempts = [
        attempt("good"),
        attempt("bad", "failed"),
        attempt("bad", "errored", number=2),
        attempt("twin"),
        attempt("twin", suite="slow", key="slow-twin"),
    ]
    api.documents["log"] = b"the whole\nlog \xff\n"
    stored = [
        {"number": 1, "outcome": "failed", "message": "no", "log": {"text": "first\n"}},
        {"number": 2, "outcome": "errored", "log": {"url": f"{api.url}/documents/log"}},
    ]
    api.tests[key_of("bad")] = {"suite": "unit", "test_id": "bad", "attempts": stored}
    quiet = [{"number": 1, "outcome": "passed", "log": None}]
    for key in (key_of("good"), "slow-twin"):
        api.tests[key] = {"suite": "unit", "test_id": "good", "attempts": quiet}
    return api


@pytest.mark.parametrize("wanted", [[], ["bad"], ["unit bad"], [key_of("bad")]])
def test_logs(logged: FakeApi, cli: Cli, wanted: list[str]) -> None:
    ended = cli("logs", RUN_ID, *wanted, "--api", logged.url)
    assert ended.code == 0
    assert ended.text.splitlines() == [
        "── unit bad · attempt 1 · failed",
        "   no",
        "first",
        "── unit bad · attempt 2 · errored",
        "the whole",
        "log \ufffd",
    ]


def test_logs_of_one_that_passed_or_does_not_exist(logged: FakeApi, cli: Cli) -> None:
    assert "attempt 1 · passed" in cli("logs", RUN_ID, "good", "--api", logged.url).text
    ended = cli("logs", RUN_ID, "none", "--api", logged.url)
    assert ended.code == 2
    assert "no attempt at a test called none" in ended.err


def test_logs_of_a_name_that_two_tests_have(logged: FakeApi, cli: Cli) -> None:
    ended = cli("logs", RUN_ID, "twin", "--api", logged.url)
    assert ended.code == 2
    assert "slow-twin  slow twin" in ended.err
    assert cli("logs", RUN_ID, "slow twin", "--api", logged.url).code == 0

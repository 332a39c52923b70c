"""Networks fail, APIs repeat themselves, reports lie: nothing is lost, nothing falsely passes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import RUN_ID, FakeApi, a_test, attempt, error, report_of

GOOD = report_of(a_test("a"), a_test("b"))


def test_transient_errors_are_waited_out(api: FakeApi, project: Path, cli: Cli) -> None:
    tests = f"GET /runs/{RUN_ID}/tests"
    broken: list[tuple[int, Any]] = [(503, error("x", "busy")), (500, b"oops"), (200, None)]
    for request in ("POST /sources", "PUT /blob", tests, f"GET /runs/{RUN_ID}/report"):
        api.refusals[request] = list(broken)
    api.refusals["POST /runs"] = [(503, error("x", "busy")), (429, error("x", "slow"))]
    api.finish(GOOD)
    ended = cli("run", "--api", api.url)
    assert ended.code == 0, ended.err
    assert len(api.uploads) == 4
    assert len(set(api.uploads)) == 1, "each time the archive is sent from its start"
    assert not any(api.refusals.values())


def test_a_run_is_not_started_twice_when_the_answer_was_lost(
    api: FakeApi, project: Path, cli: Cli
) -> None:
    api.refusals["POST /runs"] = [(200, None)]
    ended = cli("run", "--api", api.url)
    assert ended.code == 3
    assert api.paths("POST").count("/runs") == 1
    assert "glovebox list" in ended.err


def test_an_api_that_stays_away_ends_the_wait(
    api: FakeApi, project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glovebox_cli.running.WATCH_PATIENCE_SECONDS", 0.3)
    api.refusals[f"GET /runs/{RUN_ID}/tests"] = [(200, None)] * 100
    ended = cli("run", "--api", api.url, "-o", "jsonl")
    assert ended.code == 3
    assert f"lost sight of run {RUN_ID}" in ended.err
    assert f"glovebox status {RUN_ID} --api {api.url}" in ended.err
    last = json.loads(ended.text.splitlines()[-1])
    assert (last["type"], last["exit_code"], last["conclusion"]) == ("summary", 3, None)


def test_a_report_may_be_a_little_late(api: FakeApi, project: Path, cli: Cli) -> None:
    api.finish(GOOD)
    late = (404, error("report_not_ready", "soon"))
    api.refusals[f"GET /runs/{RUN_ID}/report"] = [late, late]
    assert cli("run", "--api", api.url).code == 0


def test_stragglers_and_repeats_are_told_once(api: FakeApi, project: Path, cli: Cli) -> None:
    def on_look(fake: FakeApi) -> None:
        # Finished before it was seen to start, then "running" again from a late page.
        fake.attempts.append(attempt("a", "passed" if fake.looks % 2 else None))
        if fake.looks == 6:
            fake.finish(GOOD)

    api.on_look = on_look
    ended = cli("run", "--api", api.url, "-o", "jsonl")
    told = [json.loads(line).get("test_id") for line in ended.text.splitlines()]
    assert told == ["a", "b", None]


def broken(**changes: Any) -> dict[str, Any]:
    report = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *way, last = path.split("__")
        place: Any = report
        for step in way:
            place = place[int(step)] if step.isdigit() else place[step]
        place[last] = value
    return report


LIES: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"<html>",
    "no object": b"[]",
    "cut off": json.dumps(GOOD).encode()[:-20],
    "too deep": b"[" * 100_000,
    "not UTF-8": b'{"run_id": "\xff"}',
    **{
        name: json.dumps(report).encode()
        for name, report in {
            "another run": broken(run_id="other"),
            "another version": broken(schema_version=2),
            "another conclusion": broken(conclusion="failed"),
            "an unknown conclusion": broken(conclusion="fine"),
            "counts that do not add up": broken(summary__passed=1),
            "counts above the tests": broken(summary__passed=3, summary__total=3),
            "a count as text": broken(summary__total="2"),
            "a negative count": broken(summary__passed=3, summary__failed=-1),
            "a failed test in it": broken(tests__0__result="failed"),
            "a failed test counted": broken(
                tests__0__result="failed", summary__passed=1, summary__failed=1
            ),
            "a test without attempts": broken(tests__0__attempts=[]),
            "a pass whose attempt failed": broken(tests__0__attempts__0__outcome="failed"),
            "an unknown result": broken(tests__0__result="fine"),
            "no tests": report_of(),
            "fewer tests than planned": report_of(a_test("a")),
        }.items()
    },
}


@pytest.mark.parametrize("lie", LIES)
def test_a_pass_is_only_believed_with_a_valid_report(
    api: FakeApi, project: Path, cli: Cli, lie: str
) -> None:
    api.finish(GOOD)
    api.documents["json"] = LIES[lie]
    ended = cli("run", "--api", api.url, "-o", "json", "--report", "out")
    assert ended.code == 3
    assert "the report is not believed" in ended.err
    assert ended.out == b""
    assert not (project / "out").exists()
    assert cli("report", RUN_ID, "--api", api.url).code == 3


def test_a_run_that_is_described_wrongly_is_infrastructure(
    api: FakeApi, project: Path, cli: Cli
) -> None:
    api.finish(GOOD)
    for field, value in {"state": "done", "conclusion": "great", "total": "2"}.items():
        good, api.run[field] = api.run[field], value
        ended = cli("run", "--api", api.url)
        assert ended.code == 3, field
        assert "not described as promised" in ended.err
        api.run[field] = good
    assert cli("run", "--api", api.url).code == 0


def test_an_address_that_is_no_web_address_is_not_followed(
    api: FakeApi, project: Path, cli: Cli
) -> None:
    api.finish(GOOD)
    answer = (200, {"url": "file:///etc/passwd", "expires_in_seconds": 1})
    api.refusals[f"GET /runs/{RUN_ID}/report"] = [answer] * 3
    assert cli("run", "--api", api.url).code == 3

"""`watch`, `rerun` and `logs -f`: following what somebody else started, or what failed before."""

from __future__ import annotations

import json

import pytest
from glovebox_cli import inspection

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import RUN_ID, FakeApi, a_test, attempt, key_of, report_of


def end(api: FakeApi, *tests: dict[str, object], conclusion: str = "passed") -> None:
    api.attempts = [attempt(str(t["test_id"]), str(t["result"])) for t in tests]
    api.finish(report_of(*tests, conclusion=conclusion))


def ends_at_the_third_look(api: FakeApi) -> None:
    if api.looks == 4:
        end(api, a_test("a"), a_test("b", "failed"), conclusion="failed")


def test_a_run_that_is_under_way_is_followed_to_its_end(api: FakeApi, cli: Cli) -> None:
    api.run["state"] = "running"
    api.on_look = ends_at_the_third_look
    ended = cli("watch", RUN_ID, "--api", api.url)
    assert ended.code == 1
    assert "FAIL" in ended.err
    assert "FAILED  1 passed, 1 failed" in ended.text
    assert f"glovebox rerun {RUN_ID} --failed --api {api.url}" in ended.text
    assert api.paths("POST") == []


def test_a_run_that_does_not_exist_is_a_wrong_command(api: FakeApi, cli: Cli) -> None:
    for command in (["watch", "nobody"], ["rerun", "nobody", "--all"]):
        ended = cli(*command, "--api", api.url)
        assert (ended.code, "not found" in ended.err) == (2, True), ended.err


@pytest.mark.parametrize("select", ["all", "failed", "missing"])
def test_tests_are_run_again_and_followed(api: FakeApi, cli: Cli, select: str) -> None:
    end(api, a_test("a"))
    ended = cli("rerun", RUN_ID, f"--{select}", "--api", api.url, "-o", "json")
    assert (ended.code, ended.out) == (0, api.documents["json"])
    [posted] = [(path, body) for method, path, body in api.requests if method == "POST"]
    assert posted == (f"/runs/{RUN_ID}/rerun", {"select": select})
    [heard] = [heard for heard in api.heard if heard.method == "POST"]
    assert len(heard.headers["Idempotency-Key"]) == 32


def test_a_detached_rerun_tells_its_id_and_does_not_wait(api: FakeApi, cli: Cli) -> None:
    ended = cli("rerun", RUN_ID, "--failed", "--detach", "--api", api.url)
    assert (ended.code, ended.text.strip(), api.looks) == (0, RUN_ID, 0)
    assert f"glovebox watch {RUN_ID} --api {api.url}" in ended.err
    assert [body for method, _, body in api.requests if method == "POST"] == [{"select": "failed"}]
    ended = cli("rerun", RUN_ID, "--failed", "--detach", "--api", api.url, "-o", "json")
    assert json.loads(ended.text) == {"run_id": RUN_ID, "api_url": api.url}


@pytest.mark.parametrize("which", [[], ["--all", "--failed"]])
def test_which_tests_must_be_said_once(api: FakeApi, cli: Cli, which: list[str]) -> None:
    ended = cli("rerun", RUN_ID, *which, "--api", api.url)
    assert (ended.code, "--missing" in ended.err, api.requests) == (2, True, [])


@pytest.fixture
def talking(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """A run whose tests end one after the other, while somebody looks."""
    monkeypatch.setattr(inspection, "FOLLOW_SECONDS", 0.01)
    api.run["state"] = "running"
    ends = {2: attempt("a"), 3: attempt("b", "failed"), 5: attempt("b", "passed", number=2)}
    for name in ("a", "b"):
        api.tests[key_of(name)] = {
            "suite": "unit",
            "test_id": name,
            "attempts": [
                {"number": n, "outcome": "failed", "log": {"text": f"{name}, attempt {n}\n"}}
                for n in (1, 2)
            ],
        }

    def look(api: FakeApi) -> None:
        if api.looks in ends:
            api.attempts.append(ends[api.looks])
        if api.looks == 6:
            api.run |= {"state": "finished", "conclusion": "passed"}

    api.on_look = look
    return api


def test_logs_come_as_attempts_fail_and_each_once(talking: FakeApi, cli: Cli) -> None:
    ended = cli("logs", RUN_ID, "-f", "--api", talking.url)
    assert ended.code == 0
    assert [line for line in ended.text.splitlines() if "── " not in line] == ["b, attempt 1"]


def test_logs_of_one_test_come_with_each_of_its_attempts(talking: FakeApi, cli: Cli) -> None:
    ended = cli("logs", RUN_ID, "unit b", "--follow", "--api", talking.url)
    logs = [line for line in ended.text.splitlines() if "── " not in line]
    assert logs == ["b, attempt 1", "b, attempt 2"]

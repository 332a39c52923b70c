"""`-o github`, `-o md` and `-o ctrf`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from glovebox.domain.outcome import Outcome
from glovebox_cli.github import workflow_commands

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import RUN_ID, FakeApi, a_test
from tests.unit.cli.fake_api import report_of as fake_report
from tests.unit.domain.test_report_formats import report_of


@pytest.fixture
def finished(api: FakeApi) -> FakeApi:
    api.finish(fake_report(a_test("a"), a_test("b", "failed"), conclusion="failed"))
    return api


def commands(text: str) -> list[str]:
    return [line.partition(" ")[0].strip(":") for line in text.splitlines()]


def test_what_did_not_pass_stands_beside_its_code() -> None:
    report = report_of(
        ("t.py::test_bad[50%, x]", [Outcome.FAILED], ""),
        ("t.py::test_flaky", [Outcome.FAILED, Outcome.PASSED], ""),
        words="first\r\nsecond: 50%",
    )
    error, warning, notice = workflow_commands(report).splitlines()
    assert error == (
        "::error file=t.py,line=3,title=failed%3A t.py%3A%3Atest_bad[50%25%2C x]"
        "::first%0Asecond: 50%25"
    )
    assert warning.startswith(
        "::warning file=t.py,line=3,title=flaky%3A t.py%3A%3Atest_flaky::first"
    )
    assert notice == "::notice title=n::failed: 1 of 2 tests passed"


def test_no_test_can_speak_to_the_runner() -> None:
    name = "x\n::stop-commands::a\n::error::forged"
    text = workflow_commands(report_of((name, [Outcome.FAILED], ""), words=name))
    assert commands(text) == ["error", "notice"]


def test_ten_of_a_kind_are_shown_and_the_rest_is_counted() -> None:
    failed = [(f"t{n}", [Outcome.FAILED], "") for n in range(14)]
    flaky = [(f"f{n}", [Outcome.FAILED, Outcome.PASSED], "") for n in range(11)]
    text = workflow_commands(report_of(*failed, *flaky))
    assert commands(text) == ["error"] * 10 + ["warning"] * 10 + ["notice"]
    assert "5 more are not shown" in text


@pytest.mark.parametrize("command", ["report", "watch"])
def test_the_steps_summary_gets_the_markdown(
    finished: FakeApi, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    summary = tmp_path / "summary"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ended = cli(command, RUN_ID, "--api", finished.url, "-o", "github")
    assert "::error" in ended.text
    assert summary.read_text().startswith("before\n## ")
    shown = cli(command, RUN_ID, "--api", finished.url, "-o", "md")
    assert summary.read_text() == "before\n" + shown.text + "\n"


def test_a_summary_that_cannot_be_written_changes_no_verdict(
    finished: FakeApi, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    ended = cli("report", RUN_ID, "--api", finished.url, "-o", "github")
    assert ended.code == 0
    assert "summary could not be written" in ended.err


def test_ctrf_is_made_of_the_report(finished: FakeApi, cli: Cli) -> None:
    ended = cli("report", RUN_ID, "--api", finished.url, "-o", "ctrf")
    assert json.loads(ended.text)["runId"] == json.loads(finished.documents["json"])["run_id"]

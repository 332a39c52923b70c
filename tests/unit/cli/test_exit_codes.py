"""Every conclusion and every kind of trouble has the exit code that is documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from glovebox.domain.outcome import Conclusion
from glovebox_cli.exit_codes import CODE_OF_CONCLUSION

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import FakeApi, a_test, error, report_of

DOCUMENTED = {
    "passed": 0,
    "failed": 1,
    "rejected": 2,
    "errored": 3,
    "no_tests": 4,
    "timed_out": 5,
    "cancelled": 5,
}
RESULT_OF = {"passed": "passed", "failed": "failed", "errored": "errored"}


def test_the_table_knows_every_conclusion_and_says_what_is_documented() -> None:
    assert {str(c): int(code) for c, code in CODE_OF_CONCLUSION.items()} == DOCUMENTED
    assert set(CODE_OF_CONCLUSION) == set(Conclusion)


@pytest.mark.parametrize("conclusion", [c for c in DOCUMENTED if c != "rejected"])
def test_a_run_exits_with_the_code_of_its_conclusion(
    api: FakeApi, project: Path, cli: Cli, conclusion: str
) -> None:
    tests = [a_test("t", RESULT_OF.get(conclusion, "cancelled"))]
    api.finish(report_of(*(tests if conclusion != "no_tests" else []), conclusion=conclusion))
    assert cli("run", "--api", api.url).code == DOCUMENTED[conclusion]


@pytest.mark.parametrize(
    "conclusion", ["rejected", "errored", "no_tests", "timed_out", "cancelled"]
)
def test_a_run_that_ended_before_its_report_says_why(
    api: FakeApi, project: Path, cli: Cli, conclusion: str
) -> None:
    api.finish(None, conclusion)
    api.run["message"] = "the source \x1b[2Jis gone"
    ended = cli("run", "--api", api.url)
    assert ended.code == DOCUMENTED[conclusion]
    assert f"{conclusion}: the source \\x1b[2Jis gone" in ended.err


@pytest.mark.parametrize("conclusion", ["passed", "failed"])
def test_a_verdict_without_a_report_is_not_believed(
    api: FakeApi, project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, conclusion: str
) -> None:
    monkeypatch.setattr("glovebox_cli.verdict.REPORT_SECONDS", 0.2)
    api.finish(None, conclusion)
    ended = cli("run", "--api", api.url)
    assert ended.code == 3
    assert "has no report" in ended.err


def test_an_api_that_cannot_be_reached_is_infrastructure(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glovebox_cli.running.WATCH_PATIENCE_SECONDS", 0.3)
    ended = cli("run", "--api", "http://127.0.0.1:9")
    assert ended.code == 3
    assert "no answer from the API" in ended.err
    assert "glovebox local up" in ended.err


def test_something_that_is_no_glovebox_api_is_infrastructure(
    api: FakeApi, project: Path, cli: Cli
) -> None:
    api.refusals["POST /sources"] = [(200, b"<html>hello</html>")]
    ended = cli("run", "--api", api.url)
    assert ended.code == 3
    assert "does not answer as a Glovebox API" in ended.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "it is not said where to run"),
        (["--local", "--api", "http://x"], "exclude each other"),
        (["--fresh", "--api", "http://x"], "--fresh needs --local"),
        (["--api", "example.com"], "is no address"),
        (["--api", "http://x", "--quiet", "--verbose"], "exclude each other"),
        (["--api", "http://x", "--detach", "--report", "out"], "--detach does not wait"),
        (["--api", "http://x", "--detach", "-o", "junit"], "--detach does not wait"),
        (["--local", "--fresh", "--detach"], "would leave a --fresh stack behind"),
        (["--api", "http://x", "--parallelism", "0"], "--parallelism"),
        (["--nonsense"], "--nonsense"),
        (["--api", "http://x", "-o", "xml"], "xml"),
    ],
)
def test_a_command_line_that_means_nothing_is_refused(
    project: Path, cli: Cli, args: list[str], words: str
) -> None:
    ended = cli("run", *args)
    assert ended.code == 2
    assert words in ended.err
    assert ended.out == b""


def test_the_choices_are_named_when_none_was_made(project: Path, cli: Cli) -> None:
    ended = cli("run")
    for choice in ("--local", "--api", "GLOVEBOX_API_URL"):
        assert choice in ended.err


def test_the_environment_names_the_api(
    api: FakeApi, project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOVEBOX_API_URL", api.url)
    api.finish(report_of(a_test("t")))
    assert cli("run").code == 0


def test_the_apis_own_refusal_of_a_manifest_names_every_problem(
    api: FakeApi, project: Path, cli: Cli
) -> None:
    problems = [
        {"message": "is not known", "path": "suites[0].x", "line": 1, "suggestion": "y"},
        {"message": "is \x1b[31mtoo long", "path": "", "line": None, "suggestion": None},
    ]
    api.refusals["POST /runs"] = [(400, error("manifest_invalid", "bad", {"problems": problems}))]
    ended = cli("run", "--api", api.url)
    assert ended.code == 2
    assert "suites[0].x: is not known (did you mean 'y'?)" in ended.err
    assert "is \\x1b[31mtoo long" in ended.err


@pytest.mark.parametrize(("status", "code"), [(401, 3), (403, 3), (404, 2), (413, 2), (500, 3)])
def test_refusals_by_the_api(
    api: FakeApi,
    project: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: int,
) -> None:
    monkeypatch.setattr("glovebox_cli.running.WATCH_PATIENCE_SECONDS", 0.2)
    api.refusals["POST /runs"] = [(status, error("x", "no"))] * 20
    assert cli("run", "--api", api.url).code == code


def test_a_defect_of_our_own_does_not_read_as_a_failed_test(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("glovebox_cli.running.execute", explode)
    ended = cli("run", "--api", "http://x")
    assert ended.code == 3
    assert "defect of glovebox" in ended.err

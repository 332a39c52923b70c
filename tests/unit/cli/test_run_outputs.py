"""What `glovebox run` sends, and what it leaves on stdout, stderr and disk."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import RUN_ID, FakeApi, a_test, attempt, key_of, report_of


@pytest.fixture
def mixed(api: FakeApi) -> FakeApi:
    """A run with one of each kind that matters, told step by step."""
    flaky = a_test("t::flaky", outcomes=("failed", "passed"), flaky=True)
    report = report_of(
        a_test("t::ok"),
        a_test("t::bad", "failed", outcomes=("failed", "failed", "failed")),
        flaky,
        a_test("t::skip", "skipped", message=None),
        conclusion="failed",
    )

    def on_look(fake: FakeApi) -> None:
        if fake.looks == 1:
            fake.run |= {"state": "running", "total": 4}
            fake.attempts += [attempt("t::ok", None), attempt("t::flaky", None)]
        elif fake.looks == 3:
            fake.attempts += [attempt("t::ok"), attempt("t::flaky", "failed")]
        elif fake.looks == 5:
            fake.attempts += [attempt("t::flaky", "passed", number=2)]
        elif fake.looks == 7:
            # The rest is never told: it has to come from the report.
            fake.finish(report)

    api.on_look = on_look
    return api


def test_the_source_is_packed_sent_and_named_in_the_manifest(
    api: FakeApi, project: Path, cli: Cli
) -> None:
    api.finish(report_of(a_test("t")))
    assert cli("run", "--api", api.url, "--parallelism", "7", "--fail-fast").code == 0
    posted = [body for method, path, body in api.requests if (method, path) == ("POST", "/runs")]
    manifest = posted[0]["manifest"]
    assert manifest["source"] == {"s3": "s3://data/sources/abc.tar.gz"}
    assert (manifest["parallelism"], manifest["fail_fast"]) == (7, True)
    asked = next(body for _, path, body in api.requests if path == "/sources")
    assert asked == {
        "sha256": hashlib.sha256(api.uploads[0]).hexdigest(),
        "size": len(api.uploads[0]),
    }
    with tarfile.open(fileobj=BytesIO(gzip.decompress(api.uploads[0]))) as archive:
        assert archive.getnames() == ["glovebox.yml", "tests/test_a.py"]
    headers = next(body for method, _, body in api.requests if method == "PUT")
    assert headers["x-test"] == "1"
    assert "Transfer-Encoding" not in headers


def test_other_sources_are_posted_as_they_are(api: FakeApi, project: Path, cli: Cli) -> None:
    text = (project / "glovebox.yml").read_text().replace("path: .", "s3: s3://bucket/a.tar.gz")
    (project / "glovebox.yml").write_text(text)
    api.finish(report_of(a_test("t")))
    assert cli("run", "--api", api.url).code == 0
    assert api.paths("POST") == ["/runs"]
    assert not api.uploads


def test_a_source_that_is_a_link_to_elsewhere_is_refused(
    api: FakeApi, project: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "secret").mkdir()
    (project / "linked").symlink_to(tmp_path / "secret")
    text = (project / "glovebox.yml").read_text().replace("path: .", "path: linked")
    (project / "glovebox.yml").write_text(text)
    ended = cli("run", "--api", api.url)
    assert ended.code == 2
    assert "leads out of the manifest's folder" in ended.err
    assert not api.uploads


def test_table(mixed: FakeApi, project: Path, cli: Cli) -> None:
    ended = cli("run", "--api", mixed.url)
    assert ended.code == 1
    assert "       PASS [  0.021s] unit t::ok" in ended.err
    assert "  RETRY 1/3 [  0.021s] unit t::flaky" in ended.err
    assert "  FLAKY 2/3 [  0.021s] unit t::flaky" in ended.err
    assert "   FAIL 3/3 [  0.021s] unit t::bad" in ended.err
    assert "       SKIP [  0.021s] unit t::skip" in ended.err
    assert "4 tests, up to 4 at once" in ended.err
    assert ended.err.count("unit t::ok") == 1, "told once, however often the API repeats it"
    assert "   FAIL  unit t::bad  tests/test_a.py:3" in ended.text
    assert "t::bad says no" in ended.text
    assert "attempt 3 of 3, exit code 1, sandbox sb-3" in ended.text
    assert "│ output of t::bad" in ended.text
    summary = "FAILED  2 passed, 1 failed, 1 skipped, 1 flaky in 12.3s, 4 sandboxes"
    assert summary in ended.text
    assert f"glovebox report {RUN_ID} --api {mixed.url}" in ended.text
    assert f"run it again:    glovebox run --api {mixed.url}" in ended.text


def test_json_is_the_stored_report_to_the_byte(mixed: FakeApi, project: Path, cli: Cli) -> None:
    ended = cli("run", "--api", mixed.url, "-o", "json")
    assert ended.code == 1
    assert ended.out == mixed.documents["json"]
    assert "FAILED" in ended.err


def test_junit_is_the_stored_file_to_the_byte(mixed: FakeApi, project: Path, cli: Cli) -> None:
    ended = cli("run", "--api", mixed.url, "-o", "junit", "--junit", "out/extra.xml")
    assert ended.out == mixed.documents["junit"]
    assert (project / "out/extra.xml").read_bytes() == mixed.documents["junit"]


def test_jsonl_has_a_line_for_every_finished_attempt_and_a_last_one(
    mixed: FakeApi, project: Path, cli: Cli
) -> None:
    ended = cli("run", "--api", mixed.url, "-o", "jsonl")
    lines = [json.loads(line) for line in ended.text.splitlines()]
    told = [(line["test_id"], line["number"], line["outcome"]) for line in lines[:-1]]
    assert sorted(told) == [
        ("t::bad", 1, "failed"),
        ("t::bad", 2, "failed"),
        ("t::bad", 3, "failed"),
        ("t::flaky", 1, "failed"),
        ("t::flaky", 2, "passed"),
        ("t::ok", 1, "passed"),
        ("t::skip", 1, "skipped"),
    ]
    last = lines[-1]
    assert (last["type"], last["run_id"], last["conclusion"]) == ("summary", RUN_ID, "failed")
    assert (last["exit_code"], last["summary"]["flaky"], last["sandboxes"]) == (1, 1, 4)


def test_nothing_is_written_without_being_asked(mixed: FakeApi, project: Path, cli: Cli) -> None:
    before = sorted(project.rglob("*"))
    cli("run", "--api", mixed.url)
    assert sorted(project.rglob("*")) == before


def test_report_writes_reports_and_the_logs_of_what_did_not_pass(
    mixed: FakeApi, project: Path, cli: Cli
) -> None:
    (project / "out/logs").mkdir(parents=True)
    (project / "out/report.json").write_text("{}")
    (project / "out/logs/0009-of-the-run-before-1.txt").write_text("old")
    (project / "out/logs/notes.txt").write_text("the user's own")
    ended = cli("run", "--api", mixed.url, "--report", "out")
    assert (project / "out/report.json").read_bytes() == mixed.documents["json"]
    assert (project / "out/junit.xml").read_bytes() == mixed.documents["junit"]
    assert sorted(path.name for path in (project / "out/logs").iterdir()) == [
        "0001-unit-t_bad-1.txt",
        "0002-unit-t_bad-2.txt",
        "0003-unit-t_bad-3.txt",
        "0004-unit-t_flaky-1.txt",
        "notes.txt",
    ]
    assert "report: out/report.json" in ended.text
    assert "report: out/junit.xml" in ended.text


def test_a_report_that_cannot_be_written_is_no_success(
    api: FakeApi, project: Path, cli: Cli
) -> None:
    (project / "file").write_text("")
    api.finish(report_of(a_test("t")))
    ended = cli("run", "--api", api.url, "--report", "file/out")
    assert ended.code == 3
    assert "could not be written" in ended.err


def test_a_long_log_is_fetched_and_shown_bounded(api: FakeApi, project: Path, cli: Cli) -> None:
    long = "".join(f"line {n}\n" for n in range(1000))
    log = {"text": None, "key": "runs/x/logs/y.log", "bytes": len(long), "truncated": False}
    api.documents["log"] = long.encode()
    url = f"{api.url}/documents/log"
    stored = {"number": 1, "outcome": "failed", "log": {"text": None, "url": url, "bytes": 1}}
    api.tests[key_of("t")] = {"suite": "unit", "test_id": "t", "attempts": [stored]}
    api.finish(report_of(a_test("t", "failed", log=log), conclusion="failed"))
    ended = cli("run", "--api", api.url)
    assert "│ line 0\n" in ended.text
    assert "… 940 lines left out …" in ended.text
    assert "│ line 999\n" in ended.text
    assert f"more: glovebox logs {RUN_ID} {key_of('t')} --api {api.url}" in ended.text
    ended = cli("run", "--api", api.url, "--report", "out")
    assert "more: out/logs/0001-unit-t-1.txt" in ended.text
    assert (project / "out/logs/0001-unit-t-1.txt").read_text() == long


def test_quiet_leaves_out_what_is_all_right(mixed: FakeApi, project: Path, cli: Cli) -> None:
    ended = cli("run", "--api", mixed.url, "--quiet")
    assert "PASS" not in ended.err
    assert "FAIL 3/3" in ended.err
    assert "FAILED  2 passed" in ended.text


def test_verbose_tells_of_starts_and_states(mixed: FakeApi, project: Path, cli: Cli) -> None:
    ended = cli("run", "--api", mixed.url, "--verbose")
    assert "START" in ended.err
    assert f"{RUN_ID}: running" in ended.err


def test_many_failures_are_bounded(api: FakeApi, project: Path, cli: Cli) -> None:
    tests = [a_test(f"t{n:04d}", "failed") for n in range(300)]
    api.finish(report_of(*tests, conclusion="failed"))
    ended = cli("run", "--api", api.url, "--quiet")
    assert ended.text.count("says no") == 25
    assert "… and 75 more that did not pass" in ended.text


def test_detach_writes_the_id_and_leaves(api: FakeApi, project: Path, cli: Cli) -> None:
    ended = cli("run", "--api", api.url, "--detach")
    assert (ended.code, ended.text) == (0, f"{RUN_ID}\n")
    assert api.looks == 0
    ended = cli("run", "--api", api.url, "--detach", "-o", "json")
    assert json.loads(ended.text)["run_id"] == RUN_ID


@pytest.mark.parametrize(
    ("args", "env", "coloured"),
    [
        (["--color", "always"], {}, True),
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour(
    mixed: FakeApi,
    project: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    env: dict[str, str],
    coloured: bool,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    ended = cli("run", "--api", mixed.url, *args)
    assert ("\x1b[" in ended.err) is coloured
    assert ("\x1b[" in ended.text) is coloured


def test_no_color_is_honoured(
    mixed: FakeApi, project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[3" not in cli("run", "--api", mixed.url).text

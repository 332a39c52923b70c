"""Names, messages and logs from outside cannot drive the terminal or pass for something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from glovebox_cli.report_folder import safe_name
from glovebox_cli.safe_text import bounded_lines, lines_of, one_line

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import RUN_ID, FakeApi, a_test, attempt, key_of, report_of

HOSTILE = {
    "ANSI": "t\x1b[2J\x1b[31mred",
    "OSC": "t\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07",
    "newline": "t\n       PASS [  0.001s] unit forged",
    "carriage return": "t failed\rt passed",
    "backspace": "fail\b\b\b\bpass",
    "C1": "t\x9b2J",
    "bidi": "t\u202edessap\u202c",
    "zero width": "t\u200b",
    "line separator": "t\u2028x",
    "surrogate": "t\ud800",
    "NUL": "t\x00",
    "markup": "[bold red]t[/bold red] :smile: [link=http://x]y[/link]",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("output", ["table", "jsonl"])
def test_hostile_text_reaches_no_stream(
    api: FakeApi, project: Path, cli: Cli, kind: str, output: str
) -> None:
    text = HOSTILE[kind]
    log = {"text": f"log {text}\n", "key": None, "bytes": 9, "truncated": False}
    bad = a_test(text, "failed", message=text, log=log, suite=text, file=text)
    bad["attempts"][0] |= {"sandbox_id": text, "message": text}
    api.attempts = [attempt(text, None, suite=text), attempt(text, "failed", suite=text)]
    api.finish(report_of(bad, conclusion="failed"))
    ended = cli("run", "--api", api.url, "-o", output, "--verbose")
    assert ended.code == (3 if kind == "surrogate" else 1), ended.err
    for stream in (ended.text, ended.err):
        assert not {c for c in stream if not c.isprintable()} - {"\n"}
        assert "\n       PASS" not in stream
    if output == "jsonl":
        assert json.loads(ended.text.splitlines()[0])["test_id"] == text
    elif kind == "markup":
        assert text in ended.text


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_in_what_other_commands_show(
    api: FakeApi, project: Path, cli: Cli, kind: str
) -> None:
    text = HOSTILE[kind]
    api.attempts = [attempt(text, "failed")]
    shown = {"number": 1, "outcome": "failed", "message": text, "log": {"text": f"{text}\n"}}
    api.tests[key_of(text)] = {"suite": text, "test_id": text, "attempts": [shown]}
    api.run |= {"name": text, "message": text, "created_at": text}
    for args in (["logs", RUN_ID], ["status", RUN_ID], ["list"]):
        ended = cli(*args, "--api", api.url)
        assert ended.code == 0
        assert not {c for c in ended.text + ended.err if not c.isprintable()} - {"\n"}


def test_two_names_never_look_alike() -> None:
    shown = [one_line(text) for text in [*HOSTILE.values(), "t", "tdessap"]]
    assert len(set(shown)) == len(shown)


def test_logs_lose_colours_and_keep_everything_else_visible() -> None:
    assert lines_of("\x1b[31mred\x1b[0m\r\n50%\r100%\n\x07bell\ttab") == [
        "red",
        "50%",
        "100%",
        "\\x07bell   tab",
    ]
    assert bounded_lines("\n".join("abcdefgh"), head=2, tail=2) == [
        "a",
        "b",
        "… 4 lines left out …",
        "g",
        "h",
    ]
    assert one_line("x" * 5000).endswith("…")


@pytest.mark.parametrize(
    "test_id", ["../../../etc/passwd", "/abs", "a\x00b", "..", ".", "x" * 5000, "C:\\x", "é\n"]
)
def test_file_names_stay_in_their_folder(test_id: str, tmp_path: Path) -> None:
    name = safe_name("unit", test_id)
    assert "/" not in name
    assert 0 < len(name) <= 80
    assert name[0] not in ".-"
    (tmp_path / name).write_text("")

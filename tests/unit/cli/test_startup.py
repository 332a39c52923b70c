"""Help is quick, sufficient, and loads nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.cli.conftest import Cli

HEAVY = (
    "moto",
    "boto3",
    "botocore",
    "httpx",
    "glovebox.domain.manifest",
    "glovebox_local",
    "ruamel",
)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['glovebox', 'run', '--help']\n"
        "from glovebox_cli.main import main\n"
        "try: main()\n"
        f"finally: print([n for n in {HEAVY} if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_version(cli: Cli) -> None:
    ended = cli("--version")
    assert ended.code == 0
    assert ended.text.startswith("glovebox ")


@pytest.mark.parametrize("args", [[], ["local"]])
def test_without_a_command_help_is_shown(cli: Cli, args: list[str]) -> None:
    ended = cli(*args)
    assert ended.code == 2
    assert "Commands:" in ended.text + ended.err


def test_help_of_run_names_the_exit_codes(cli: Cli) -> None:
    text = " ".join(cli("run", "--help").text.split())
    for words in ("0 passed", "1 failed", "2 usage", "3 errored", "4 nothing ran", "130"):
        assert words in text


def test_a_stream_that_cannot_hold_a_name(cli: Cli) -> None:
    code = "from glovebox_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", "ümläut-☃"],
        capture_output=True,
        check=False,
        env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 2
    assert rb"there is no \xfcml\xe4ut-\u2603" in done.stderr

"""docs/cli.md names every command, argument, option, choice and exit code, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import typer
from glovebox.domain.outcome import Conclusion
from glovebox_cli.exit_codes import CODE_OF_CONCLUSION, ExitCode
from glovebox_cli.main import app
from glovebox_cli.packing import MAX_ARCHIVE_BYTES, MAX_CONTENT_BYTES, MAX_FILES
from glovebox_cli.source_listing import LEFT_OUT_FOLDERS
from glovebox_cli.target import API_URL_VARIABLE

TEXT = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")
HELP = {"--help", "-h"}


def commands(command: Any, name: str = "glovebox") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its whole name; the root for its own options."""
    children = getattr(command, "commands", None)
    if children is None or name == "glovebox":
        yield name, command
    for child, below in (children or {}).items():
        yield from commands(below, f"{name} {child}")


COMMANDS = dict(commands(typer.main.get_command(app)))


def headings() -> dict[str, str]:
    """The headings that are commands, as `glovebox run` to `glovebox run [PATH]`."""
    found = re.findall(r"^## `(glovebox[^`]*)`$", TEXT, re.MULTILINE)
    return {re.sub(r" [^a-z]*[\[A-Z].*", "", heading): heading for heading in found}


def rows_of(heading: str) -> list[str]:
    body = TEXT.split(f"## `{heading}`\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in body.splitlines() if line.startswith("| `")]


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert set(headings()) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_options(name: str) -> None:
    documented = {
        word
        for row in rows_of(headings()[name])
        for word in re.findall(r"`(--?[a-z-]+)[ `]", row.split("|")[1])
    }
    params = [param for param in COMMANDS[name].params if param.param_type_name == "option"]
    existing = {word for param in params for word in [*param.opts, *param.secondary_opts]}
    assert documented == existing - HELP


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments_and_values(name: str) -> None:
    heading, rows = headings()[name], rows_of(headings()[name])
    for param in COMMANDS[name].params:
        if param.param_type_name == "argument":
            assert param.metavar in heading
            continue
        row = next((r for r in rows if f"`{param.opts[0]}" in r), "")
        if param.metavar:
            assert f"`{param.opts[0]} {param.metavar}`" in row
        if isinstance(param.default, StrEnum):
            for choice in type(param.default):
                assert f"`{choice.value}`" in row, (name, param.opts)
            assert f"`{param.default.value}` (default)" in row


def test_there_are_choices_to_be_checked() -> None:
    params = [param for command in COMMANDS.values() for param in command.params]
    assert sum(isinstance(param.default, StrEnum) for param in params) >= 12


def test_exit_codes_and_their_conclusions() -> None:
    body = TEXT.split("## Exit codes\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\d+)` \|.*\| *((?:`\w+` ?)*) *\|$", body, re.MULTILINE)
    documented = {int(code): set(re.findall(r"\w+", names)) for code, names in rows}
    existing: dict[int, set[str]] = {int(code): set() for code in ExitCode}
    for conclusion in Conclusion:
        existing[int(CODE_OF_CONCLUSION[conclusion])].add(conclusion.value)
    assert documented == existing


def test_what_is_left_out_and_the_limits() -> None:
    for folder in LEFT_OUT_FOLDERS:
        assert f"`{folder}`" in TEXT
    limits = (
        f"{MAX_ARCHIVE_BYTES // 2**20} MiB packed, {MAX_CONTENT_BYTES // 2**30} GiB unpacked and "
        f"{MAX_FILES // 1000} 000 files"
    )
    assert limits in " ".join(TEXT.split())
    assert API_URL_VARIABLE in TEXT


def test_every_command_explains_itself_and_each_of_its_options() -> None:
    for name, command in COMMANDS.items():
        assert command.help, name
        for param in command.params:
            assert getattr(param, "help", None), (name, param.name)

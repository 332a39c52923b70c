"""Options that several commands share, so that they are named and explained once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glovebox_cli.screen import Color
from glovebox_cli.target import API_URL_VARIABLE


class DocumentOutput(StrEnum):
    """What stands on stdout, for commands that show what the API knows."""

    TABLE = "table"
    JSON = "json"


class ReportOutput(StrEnum):
    """What stands on stdout, for `glovebox report`."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    CTRF = "ctrf"
    MARKDOWN = "md"
    GITHUB = "github"


class StackOutput(StrEnum):
    """How `glovebox local` writes where it is to be reached."""

    TEXT = "text"
    JSON = "json"


class IsolationLevel(StrEnum):
    """The least isolation that `glovebox local sandbox` starts with."""

    NO_CGROUP = "no-cgroup"
    FULL = "full"


RunIdArgument = Annotated[
    str, typer.Argument(metavar="RUN_ID", help="The run, as `glovebox list` names it.")
]
ApiOption = Annotated[
    str | None,
    typer.Option(
        "--api",
        metavar="URL",
        help=f"The API to speak to. Default: the environment's {API_URL_VARIABLE}.",
    ),
]
StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="The deployed CloudFormation stack to speak to, with your AWS credentials.",
        show_default=False,
    ),
]
RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="REGION",
        help="AWS region of the stack. Default: that of the environment or the profile.",
        show_default=False,
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        help="Profile of your AWS configuration.",
        show_default=False,
    ),
]
LocalOption = Annotated[
    bool, typer.Option("--local", help="Speak to your running embedded stack on this machine.")
]
ColorOption = Annotated[
    Color,
    typer.Option(
        "--color",
        help="Colours: auto heeds the terminal, NO_COLOR and FORCE_COLOR.",
        show_default=True,
    ),
]
DocumentOutputOption = Annotated[
    DocumentOutput, typer.Option("--output", "-o", help="What to write to stdout.")
]
ReportFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="DIR",
        file_okay=False,
        help="Write report.json, junit.xml and the logs of what did not pass into this folder.",
    ),
]

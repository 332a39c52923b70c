"""The options that only `glovebox run` has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glovebox_cli.request import RunOutput

PathArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[PATH]",
        help="A manifest, or a folder that holds glovebox.yml, glovebox.yaml or glovebox.json. "
        "Default: this folder, else upwards to the git root.",
        show_default=False,
    ),
]
RunLocalOption = Annotated[
    bool,
    typer.Option(
        "--local",
        help="Run on this machine: in your running embedded stack, else in one that is started "
        "for this run and stopped after it.",
    ),
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="With --local: start a stack of its own in any case.")
]
RunOutputOption = Annotated[
    RunOutput,
    typer.Option(
        "--output",
        "-o",
        help="What to write to stdout: what failed and the sum; report.json; a JSON line for "
        "every finished attempt and one for the end; junit.xml; CTRF; Markdown; or what GitHub "
        "Actions shows beside the code.",
    ),
]
JunitOption = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", dir_okay=False, help="Write junit.xml as FILE."),
]
ParallelismOption = Annotated[
    int | None,
    typer.Option(
        "--parallelism",
        metavar="N",
        min=1,
        max=10_000,
        help="Sandboxes at once, instead of the manifest's number.",
        show_default=False,
    ),
]
FailFastOption = Annotated[
    bool, typer.Option("--fail-fast", help="Stop at the first test that finally fails.")
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Start the run, write its id to stdout, do not wait.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No lines for tests that are all right.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Lines for starts and states too.")
]
NoProgressOption = Annotated[
    bool,
    typer.Option(
        "--no-progress",
        help="Plain lines, nothing that is drawn anew. Off a terminal that is so anyway.",
    ),
]

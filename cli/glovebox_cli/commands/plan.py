"""`glovebox plan`: a dry run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glovebox_cli.options import ColorOption, DocumentOutput
from glovebox_cli.screen import Color, Screen


def plan(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]",
            help="A manifest, or a folder that holds one. Default: as for `glovebox run`.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        DocumentOutput, typer.Option("--output", "-o", help="Words, or JSON for programs.")
    ] = DocumentOutput.TABLE,
    color: ColorOption = Color.AUTO,
) -> None:
    """Show what a run would do: suites, source, limits, and what it can cost at most.

    Asks nobody and starts nothing, so a test that only its framework can list is not counted.
    Exit codes: 0 it is shown, 2 the manifest or its source is not right.
    """
    from glovebox_cli.manifest_file import find_manifest, read_manifest
    from glovebox_cli.planning import show_plan

    found = read_manifest(find_manifest(path))
    show_plan(found, Screen(color), as_json=output is DocumentOutput.JSON)

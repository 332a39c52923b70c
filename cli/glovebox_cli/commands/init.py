"""`glovebox init`: a manifest for a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glovebox_cli.options import ColorOption
from glovebox_cli.screen import Color, Screen


def init(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="[FOLDER]", help="The project. Default: the current folder.", show_default=False
        ),
    ] = Path(),
    force: Annotated[
        bool, typer.Option("--force", help="Write over the manifest that is there.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the manifest to stdout and to no file.")
    ] = False,
    color: ColorOption = Color.AUTO,
) -> None:
    """Write a glovebox.yml by looking at a project's files.

    Runs nothing and asks nobody. Exit codes: 0 it is written, 2 there is one already, or
    nothing tells how the tests are run.
    """
    from glovebox_cli.initialising import initialise

    initialise(folder, Screen(color), force=force, dry_run=dry_run)

"""`glovebox local`: the embedded stack on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from glovebox_cli.options import ColorOption, StackOutput
from glovebox_cli.screen import Color, Screen

local_commands = typer.Typer(
    help="The embedded stack on this machine.", no_args_is_help=True, add_completion=False
)


@local_commands.command()
def up(
    output: Annotated[
        StackOutput,
        typer.Option("--output", "-o", help="Endpoints as text, or as one JSON object."),
    ] = StackOutput.TEXT,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the stack, part of its resources'."),
    ] = None,
    color: ColorOption = Color.AUTO,
) -> None:
    """Start the embedded stack, write every endpoint to stdout, and keep it until Ctrl-C.

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, 3 it could not be started.
    """
    from glovebox_cli.local_stack import keep_up

    keep_up(Screen(color), name=name, as_json=output is StackOutput.JSON)

"""`glovebox doctor`: whether runs can work from here."""

from __future__ import annotations

from typing import Annotated

import typer

from glovebox_cli.options import (
    ApiOption,
    ColorOption,
    DocumentOutput,
    LocalOption,
    ProfileOption,
    RegionOption,
    StackOption,
)
from glovebox_cli.screen import Color, Screen
from glovebox_cli.target import target_choice


def doctor(
    api: ApiOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    local: LocalOption = False,
    output: Annotated[
        DocumentOutput, typer.Option("--output", "-o", help="Words, or JSON for programs.")
    ] = DocumentOutput.TABLE,
    color: ColorOption = Color.AUTO,
) -> None:
    """Check what runs need, and say what to do where it is missing.

    Without a target this machine is looked at, for `run --local`, and nobody is asked. With
    --stack, --api or --local it is that API. Exit codes: 0 nothing stands in the way,
    3 something does.
    """
    from glovebox_cli.doctor import examine

    choice = target_choice(api, local=local, stack=stack, region=region, profile=profile)
    named = choice.api or choice.stack or choice.local or choice.url
    as_json = output is DocumentOutput.JSON
    raise typer.Exit(examine(choice if named else None, Screen(color), as_json=as_json))

"""`glovebox validate` and `glovebox schema`: about manifests, without any API."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.options import ColorOption
from glovebox_cli.screen import Color, Screen


class SchemaName(StrEnum):
    """The documents that have a published schema."""

    MANIFEST = "manifest"
    REPORT = "report"


def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Manifests, or folders that hold one. Default: as for `glovebox run`.",
            show_default=False,
        ),
    ] = None,
    color: ColorOption = Color.AUTO,
) -> None:
    """Check manifests without running anything.

    Every problem is written to stderr as file:line:column. Exit codes: 0 all are valid,
    2 at least one is not.
    """
    from glovebox_cli.failure import CommandFailure, show_failure
    from glovebox_cli.manifest_file import find_manifest, read_manifest
    from glovebox_cli.safe_text import one_line

    screen = Screen(color)
    code = ExitCode.PASSED
    wanted: list[Path | None] = [*paths] if paths else [None]
    for path in wanted:
        try:
            found = read_manifest(find_manifest(path))
        except CommandFailure as failure:
            show_failure(failure, screen)
            code = ExitCode.USAGE
            continue
        suites = found.manifest.suites
        plural = "" if len(suites) == 1 else "s"
        words = f"{one_line(str(found.path))}: valid: {found.manifest.name}, {len(suites)} suite"
        screen.show(words + plural)
    raise typer.Exit(code)


def schema(
    name: Annotated[
        SchemaName, typer.Argument(metavar="[manifest|report]", help="Which document.")
    ] = SchemaName.MANIFEST,
) -> None:
    """Write the JSON Schema of the manifest or of report.json to stdout."""
    if name is SchemaName.MANIFEST:
        from glovebox.domain.manifest_schema import manifest_schema_text

        text = manifest_schema_text()
    else:
        import json

        from glovebox.domain.report import Report

        text = json.dumps(Report.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
    Screen().emit(text.encode())

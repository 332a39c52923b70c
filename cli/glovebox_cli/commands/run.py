"""`glovebox run`."""

from __future__ import annotations

import typer

from glovebox_cli import run_options as given
from glovebox_cli.options import (
    ApiOption,
    ColorOption,
    ProfileOption,
    RegionOption,
    ReportFolderOption,
    StackOption,
)
from glovebox_cli.request import RunOutput, RunRequest
from glovebox_cli.screen import Color
from glovebox_cli.target import target_choice


def run(
    path: given.PathArgument = None,
    local: given.RunLocalOption = False,
    fresh: given.FreshOption = False,
    api: ApiOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    output: given.RunOutputOption = RunOutput.TABLE,
    report: ReportFolderOption = None,
    junit: given.JunitOption = None,
    parallelism: given.ParallelismOption = None,
    fail_fast: given.FailFastOption = False,
    detach: given.DetachOption = False,
    quiet: given.QuietOption = False,
    verbose: given.VerboseOption = False,
    no_progress: given.NoProgressOption = False,
    color: ColorOption = Color.AUTO,
) -> None:
    """Run every test of a manifest in its own fresh sandbox and report.

    Say where: --local, --stack NAME, --api URL, or the environment's GLOVEBOX_API_URL.
    Ctrl-C cancels the run and waits for its end; a second one leaves at once.

    Exit codes: 0 passed, 1 failed, 2 usage or manifest, 3 errored (infrastructure),
    4 nothing ran, 5 timed out or cancelled, 130 interrupted.
    """
    from glovebox_cli.running import execute  # httpx, pydantic: not for --help

    asked = RunRequest(
        path=path,
        target=target_choice(
            api, local=local, fresh=fresh, stack=stack, region=region, profile=profile
        ),
        output=output,
        report_folder=report,
        junit_file=junit,
        detach=detach,
        parallelism=parallelism,
        fail_fast=fail_fast,
        quiet=quiet,
        verbose=verbose,
        progress=not no_progress,
        color=color,
    )
    raise typer.Exit(execute(asked))

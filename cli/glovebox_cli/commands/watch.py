"""`glovebox watch` and `glovebox rerun`: a run that is there is followed, or run again."""

from __future__ import annotations

from typing import Annotated

import typer

from glovebox_cli import run_options as given
from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.options import (
    ApiOption,
    ColorOption,
    LocalOption,
    ProfileOption,
    RegionOption,
    ReportFolderOption,
    RunIdArgument,
    StackOption,
)
from glovebox_cli.request import RunOutput, RunRequest
from glovebox_cli.screen import Color
from glovebox_cli.target import target_choice


def watch(
    run_id: RunIdArgument,
    api: ApiOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    local: LocalOption = False,
    output: given.RunOutputOption = RunOutput.TABLE,
    report: ReportFolderOption = None,
    junit: given.JunitOption = None,
    quiet: given.QuietOption = False,
    verbose: given.VerboseOption = False,
    no_progress: given.NoProgressOption = False,
    color: ColorOption = Color.AUTO,
) -> None:
    """Follow a run to its end, whoever started it, and report.

    Ctrl-C leaves; the run goes on. Exit codes: as for `glovebox run`.
    """
    from glovebox_cli.watching import watch_run

    asked = RunRequest(
        path=None,
        target=target_choice(api, local=local, stack=stack, region=region, profile=profile),
        output=output,
        report_folder=report,
        junit_file=junit,
        detach=False,
        parallelism=None,
        fail_fast=False,
        quiet=quiet,
        verbose=verbose,
        progress=not no_progress,
        color=color,
    )
    raise typer.Exit(watch_run(asked, run_id))


def rerun(
    run_id: RunIdArgument,
    failed: Annotated[
        bool, typer.Option("--failed", help="The tests that neither passed nor were skipped.")
    ] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="The tests that were never decided.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every test.")] = False,
    api: ApiOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    local: LocalOption = False,
    output: given.RunOutputOption = RunOutput.TABLE,
    report: ReportFolderOption = None,
    junit: given.JunitOption = None,
    detach: given.DetachOption = False,
    quiet: given.QuietOption = False,
    verbose: given.VerboseOption = False,
    no_progress: given.NoProgressOption = False,
    color: ColorOption = Color.AUTO,
) -> None:
    """Run tests of a run again, from the same source, as a run of its own, and follow it.

    Say which: --failed, --missing or --all. Ctrl-C cancels the new run. Exit codes: as for
    `glovebox run`.
    """
    from glovebox_cli.watching import rerun_tests

    choices = {"failed": failed, "missing": missing, "all": everything}
    chosen = [name for name, wanted in choices.items() if wanted]
    if len(chosen) != 1:
        message = "say which tests: one of --failed, --missing and --all"
        raise CommandFailure(message, code=ExitCode.USAGE)
    asked = RunRequest(
        path=None,
        target=target_choice(api, local=local, stack=stack, region=region, profile=profile),
        output=output,
        report_folder=report,
        junit_file=junit,
        detach=detach,
        parallelism=None,
        fail_fast=False,
        quiet=quiet,
        verbose=verbose,
        progress=not no_progress,
        color=color,
    )
    raise typer.Exit(rerun_tests(asked, run_id, chosen[0]))

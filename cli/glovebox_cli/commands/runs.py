"""`report`, `status`, `list`, `cancel` and `logs`: about runs that an API knows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from glovebox.domain.outcome import Conclusion, RunState

from glovebox_cli.options import (
    ApiOption,
    ColorOption,
    DocumentOutput,
    DocumentOutputOption,
    LocalOption,
    ProfileOption,
    RegionOption,
    ReportFolderOption,
    ReportOutput,
    RunIdArgument,
    StackOption,
)
from glovebox_cli.screen import Color, Screen
from glovebox_cli.target import target_choice


def report(
    run_id: RunIdArgument,
    api: ApiOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    local: LocalOption = False,
    output: Annotated[
        ReportOutput,
        typer.Option(
            "--output",
            "-o",
            help="What to write to stdout: words, report.json, junit.xml, CTRF, Markdown, or what "
            "GitHub Actions shows beside the code.",
        ),
    ] = ReportOutput.TABLE,
    folder: ReportFolderOption = None,
    color: ColorOption = Color.AUTO,
) -> None:
    """Show the report of a finished run, or write it to files.

    Exit codes: 0 the report is shown (whatever it says), 2 no such run, 3 no report that can
    be believed, or not yet.
    """
    from glovebox_cli.inspection import show_report
    from glovebox_cli.outputs import Delivery
    from glovebox_cli.request import RunOutput

    wanted = Delivery(RunOutput(output.value), folder)
    show_report(
        target_choice(api, local=local, stack=stack, region=region, profile=profile),
        Screen(color),
        run_id,
        wanted,
    )


def status(
    run_id: RunIdArgument,
    api: ApiOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    local: LocalOption = False,
    output: DocumentOutputOption = DocumentOutput.TABLE,
    color: ColorOption = Color.AUTO,
) -> None:
    """Say where a run is and how it ended.

    Exit codes: 0 it is told (whatever it is), 2 no such run, 3 the API cannot be reached.
    """
    from glovebox_cli.inspection import show_status

    as_json = output is DocumentOutput.JSON
    show_status(
        target_choice(api, local=local, stack=stack, region=region, profile=profile),
        Screen(color),
        run_id,
        as_json=as_json,
    )


def list_runs(
    api: ApiOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    local: LocalOption = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Runs of this name only.")
    ] = None,
    state: Annotated[
        RunState | None, typer.Option("--state", help="Runs in this state only.")
    ] = None,
    conclusion: Annotated[
        Conclusion | None, typer.Option("--conclusion", help="Runs that ended so only.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Runs accepted then or later only; in UTC.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="So many runs at most.")
    ] = 20,
    output: DocumentOutputOption = DocumentOutput.TABLE,
    color: ColorOption = Color.AUTO,
) -> None:
    """List the newest runs.

    Exit codes: 0 they are listed, 2 the API does not take a filter, 3 the API cannot be reached.
    """
    from glovebox_cli.inspection import show_list

    asked = {
        "name": name,
        "state": state,
        "conclusion": conclusion,
        "since": since and since.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    show_list(
        target_choice(api, local=local, stack=stack, region=region, profile=profile),
        Screen(color),
        {key: str(value) for key, value in asked.items() if value is not None},
        limit,
        as_json=output is DocumentOutput.JSON,
    )


def cancel(
    run_id: RunIdArgument,
    api: ApiOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    local: LocalOption = False,
    color: ColorOption = Color.AUTO,
) -> None:
    """Ask a run to stop. Tests that have not ended count as cancelled.

    Exit codes: 0 it was asked, 2 no such run, 3 the API cannot be reached.
    """
    from glovebox_cli.inspection import cancel_run

    cancel_run(
        target_choice(api, local=local, stack=stack, region=region, profile=profile),
        Screen(color),
        run_id,
    )


def logs(
    run_id: RunIdArgument,
    test: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEST]",
            help="A test's id, `suite id`, or key. Default: every test that did not pass.",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with attempts as they end, until the run does."),
    ] = False,
    api: ApiOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    local: LocalOption = False,
    color: ColorOption = Color.AUTO,
) -> None:
    """Write what the attempts at a test printed to stdout.

    Control characters are written as escapes; `glovebox report RUN_ID --report DIR` keeps the
    logs as they are. Exit codes: 0 they are shown, 2 no such run or test, 3 the API cannot be
    reached.
    """
    from glovebox_cli.inspection import follow_logs, show_logs

    choice = target_choice(api, local=local, stack=stack, region=region, profile=profile)
    (follow_logs if follow else show_logs)(choice, Screen(color), run_id, test)

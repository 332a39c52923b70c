"""`glovebox local`: the embedded stack on this machine, and its sandbox server alone."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from glovebox_cli.options import ColorOption, IsolationLevel, StackOutput
from glovebox_cli.screen import Color, Screen

local_commands = typer.Typer(
    help="The embedded stack on this machine, and parts of it.",
    no_args_is_help=True,
    add_completion=False,
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


def _number(flag: str, help_text: str, **limits: Any) -> Any:
    return typer.Option(flag, metavar="N", help=help_text, show_default=False, **limits)


@local_commands.command()
def sandbox(
    port: Annotated[
        int,
        _number(
            "--port", "Port to listen at. Default: 0, which takes a free one.", min=0, max=65535
        ),
    ] = 0,
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            envvar="GLOVEBOX_SANDBOX_API_KEY",
            help="What callers must send. The variable does not show in ps, this option does. "
            "Default: a random key, which is printed.",
        ),
    ] = None,
    isolation: Annotated[
        IsolationLevel,
        typer.Option("--isolation", help="Refuse to start below this level of isolation."),
    ] = IsolationLevel.NO_CGROUP,
    without_filter: Annotated[
        bool,
        typer.Option(
            "--without-filter",
            help="Start without a system call filter on a processor that there is none for.",
        ),
    ] = False,
    max_sandboxes: Annotated[
        int | None, _number("--max-sandboxes", "Live sandboxes; one more gets 429.", min=1)
    ] = None,
    memory_mb: Annotated[
        int | None, _number("--memory-mb", "Memory of one sandbox in MiB.", min=16)
    ] = None,
    pids: Annotated[
        int | None, _number("--pids", "Processes and threads of one sandbox.", min=8)
    ] = None,
    cpus: Annotated[
        float | None, _number("--cpus", "Processors of one sandbox, such as 0.5.", min=0.01)
    ] = None,
    workspace_mb: Annotated[
        int | None, _number("--workspace-mb", "Size of /workspace in MiB.", min=1)
    ] = None,
    tmp_mb: Annotated[int | None, _number("--tmp-mb", "Size of /tmp in MiB.", min=1)] = None,
    creates_per_minute: Annotated[
        int | None,
        _number("--creates-per-minute", "Creations a minute; more get 429. Default: any.", min=1),
    ] = None,
    credits_: Annotated[
        int | None,
        _number("--credits", "Sandboxes in all; then creates get 402. Default: any.", min=1),
    ] = None,
    plan_limit: Annotated[
        int | None,
        _number("--plan-limit", "Live sandboxes; one more gets 403. Default: any.", min=1),
    ] = None,
    flat_errors: Annotated[
        bool,
        typer.Option("--flat-errors", help="Errors as HopX's pages show them, not nested."),
    ] = False,
    output: Annotated[
        StackOutput,
        typer.Option("--output", "-o", help="Where it listens as text, or as one JSON object."),
    ] = StackOutput.TEXT,
    color: ColorOption = Color.AUTO,
) -> None:
    """Start the sandbox server alone, for any program that uses hopx-ai, until Ctrl-C.

    Give the program this server's URL as `base_url` and its key as `api_key`. Creations a minute,
    credits and the plan's limit are for rehearsing what the hosted service refuses.

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, 2 wrong command line, 3 it could not be started.
    """
    from glovebox_cli.local_sandbox import serve

    sizes = {
        "max_sandboxes": max_sandboxes,
        "memory_mb": memory_mb,
        "pids": pids,
        "cpus": cpus,
        "workspace_mb": workspace_mb,
        "tmp_mb": tmp_mb,
    }
    quotas = {
        "creates_per_minute": creates_per_minute,
        "credits": credits_,
        "plan_limit": plan_limit,
    }
    serve(
        Screen(color),
        api_key,
        {
            "port": port,
            "flat_errors": flat_errors,
            "without_filter": without_filter,
            **_given(sizes),
        },
        _given(quotas),
        least=isolation.value,
        as_json=output is StackOutput.JSON,
    )


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

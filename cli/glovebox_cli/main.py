"""The entry point: the commands, and what becomes of errors that leave them."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from glovebox_cli.commands import manifests, runs
from glovebox_cli.commands.doctor import doctor
from glovebox_cli.commands.init import init
from glovebox_cli.commands.local import local_commands
from glovebox_cli.commands.plan import plan
from glovebox_cli.commands.run import run
from glovebox_cli.commands.watch import rerun, watch
from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure, show_failure
from glovebox_cli.screen import Screen, prepare_streams

app = typer.Typer(
    name="glovebox",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(init)
app.command()(plan)
app.command()(run)
app.command()(watch)
app.command()(rerun)
app.command()(doctor)
app.command()(manifests.validate)
app.command()(manifests.schema)
app.command()(runs.report)
app.command()(runs.status)
app.command("list")(runs.list_runs)
app.command()(runs.cancel)
app.command()(runs.logs)
app.add_typer(local_commands, name="local")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        Screen().show(f"glovebox {version('glovebox')}")
        raise typer.Exit


@app.callback()
def _glovebox(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Runs every test in its own fresh, isolated sandbox and hands back one truthful report."""


def main() -> None:
    """Run the command line; the only place where errors become exit codes."""
    prepare_streams()
    try:
        app()
    except CommandFailure as failure:
        show_failure(failure, Screen())
        _leave(failure.code)
    except KeyboardInterrupt:
        _leave(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # stdout's reader has gone and nothing more can be said; not the run's failure either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(ExitCode.ERRORED)
    except Exception as error:
        _show_defect(error)
        _leave(ExitCode.ERRORED)


def _leave(code: ExitCode) -> None:
    sys.exit(int(code))


def _show_defect(error: Exception) -> None:
    import traceback

    from glovebox_cli.safe_text import lines_of

    screen = Screen()
    for line in lines_of("".join(traceback.format_exception(error))):
        screen.say(line)
    screen.say("error: this is a defect of glovebox itself; please report the lines above")

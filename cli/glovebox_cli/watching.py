"""Following a run that is there already, and running tests of one again."""

from __future__ import annotations

import secrets

from glovebox_cli.api_failures import api_errors_explained
from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.interruption import Interrupted, Interruption
from glovebox_cli.progress import Tally
from glovebox_cli.request import RunRequest
from glovebox_cli.running import Session, tell_submitted, watching_client
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen
from glovebox_cli.target import Target, existing_target


def watch_run(request: RunRequest, run_id: str) -> ExitCode:
    """Follow a run to its end. An interruption leaves the run alone."""
    request.checked()
    screen = Screen(request.color, quiet=request.quiet)
    stop = Interruption()
    with stop.installed():
        target = existing_target(request.target, screen)
        with watching_client(target, stop) as api, api_errors_explained():
            # Asked once before anything is shown: a run that does not exist is a wrong command.
            api.run_document(run_id)
            again = _again(run_id, target)
            session = Session(request, screen, stop, target, api, run_id, Tally({}), again)
            return session.carry_through()


def rerun_tests(request: RunRequest, run_id: str, select: str) -> ExitCode:
    """Start a run of a run's tests again, and follow it unless it is to be left alone."""
    request.checked()
    screen = Screen(request.color, quiet=request.quiet)
    stop = Interruption()
    with stop.installed():
        target = existing_target(request.target, screen)
        with watching_client(target, stop) as api, api_errors_explained():
            key = secrets.token_hex(16)
            if request.detach:
                # Without the id the user could not cancel it.
                with stop.shielded():
                    started = api.rerun(run_id, select, key)
                tell_submitted(request, screen, target, started)
                return ExitCode.PASSED
            with stop.deferred():
                try:
                    started = api.rerun(run_id, select, key)
                except Exception:
                    if stop.requested:
                        raise Interrupted from None
                    raise
                screen.chat(f"Run {one_line(started)}")
                again = _again(started, target)
                session = Session(request, screen, stop, target, api, started, Tally({}), again)
                return session.carry_through()


def _again(run_id: str, target: Target) -> tuple[str, ...]:
    return ("glovebox", "rerun", run_id, "--failed", *target.options)

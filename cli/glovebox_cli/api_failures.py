"""From what the API says to what the user reads, and to the exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from glovebox_cli.api_client import ApiRefused, ApiUnreachable
from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.safe_text import one_line

_UNREACHABLE_HINT = (
    "Is the address right and the stack up? `glovebox local up` starts one on this machine."
)
_ACCESS = (401, 403)


@contextmanager
def api_errors_explained() -> Iterator[None]:
    """Turn the API's errors in the block into the failure of the command."""
    try:
        yield
    except (ApiUnreachable, ApiRefused) as error:
        raise explained(error) from error


def explained(error: ApiUnreachable | ApiRefused) -> CommandFailure:
    """The failure that a user can act on."""
    if isinstance(error, ApiUnreachable):
        message = f"no answer from the API: {one_line(str(error))}"
        return CommandFailure(message, code=ExitCode.ERRORED, hint=_UNREACHABLE_HINT)
    words = one_line(str(error))
    if error.code == "manifest_invalid":
        problems = error.details.get("problems")
        details = [_problem(p) for p in problems] if isinstance(problems, list) else []
        message = f"the API refuses the manifest: {words}"
        return CommandFailure(message, code=ExitCode.USAGE, details=details)
    if error.code == "report_not_ready":
        hint = "`glovebox status` tells where the run is."
        message = "the run has no report yet"
        return CommandFailure(message, code=ExitCode.ERRORED, hint=hint)
    if error.status == 404:
        message = f"not found: {words}"
        return CommandFailure(
            message, code=ExitCode.USAGE, hint="`glovebox list` names the runs of this API."
        )
    if error.status in _ACCESS:
        message = f"the API refuses access: {words}"
        return CommandFailure(message, code=ExitCode.ERRORED, hint="Check your permissions.")
    code = ExitCode.USAGE if 400 <= error.status < 500 else ExitCode.ERRORED
    message = f"the API refuses (HTTP {error.status}): {words}"
    return CommandFailure(message, code=code)


def _problem(problem: object) -> str:
    if not isinstance(problem, Mapping):
        return one_line(str(problem))
    place = _word(problem, "path")
    hint = _word(problem, "suggestion")
    text = f"{place}: {_word(problem, 'message')}" if place else _word(problem, "message")
    return one_line(f"{text} (did you mean {hint!r}?)" if hint else text)


def _word(problem: Mapping[str, Any], key: str) -> str:
    value = problem.get(key)
    return value if isinstance(value, str) else ""

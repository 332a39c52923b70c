"""The error that ends a command: what happened, what to do next, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.screen import Screen


class CommandFailure(Exception):
    """Raised anywhere below a command; `main` prints it to stderr and exits with its code."""

    def __init__(
        self,
        message: str,
        *,
        code: ExitCode,
        hint: str | None = None,
        details: Sequence[str] = (),
    ) -> None:
        self.message = message
        self.code = code
        self.hint = hint
        self.details = tuple(details)
        """Lines that stand on their own, such as `file:line` of each problem of a manifest."""
        super().__init__(message)


def show_failure(failure: CommandFailure, screen: Screen) -> None:
    """Write it to stderr: the details, what happened, and what to do next."""
    for line in failure.details:
        screen.say(line)
    screen.say(Text.assemble(("error: ", "bold red"), failure.message))
    if failure.hint:
        screen.say(failure.hint)

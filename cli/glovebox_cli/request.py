"""What `glovebox run` was asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.screen import Color
from glovebox_cli.target import Target, TargetChoice


class RunOutput(StrEnum):
    """What stands on stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    JUNIT = "junit"
    CTRF = "ctrf"
    MARKDOWN = "md"
    GITHUB = "github"


NEED_THE_END = (RunOutput.JUNIT, RunOutput.CTRF, RunOutput.MARKDOWN, RunOutput.GITHUB)


@dataclass(frozen=True)
class RunRequest:
    """The command line of `glovebox run`."""

    path: Path | None
    target: TargetChoice
    output: RunOutput
    report_folder: Path | None
    junit_file: Path | None
    detach: bool
    parallelism: int | None
    fail_fast: bool
    quiet: bool
    verbose: bool
    progress: bool
    color: Color

    def checked(self) -> RunRequest:
        """Refuse combinations that mean nothing, before anything is started."""
        self.target.checked()
        if self.quiet and self.verbose:
            message = "--quiet and --verbose exclude each other"
            raise CommandFailure(message, code=ExitCode.USAGE)
        for name, given in (
            ("--report", self.report_folder),
            ("--junit", self.junit_file),
            (f"-o {self.output}", self.output in NEED_THE_END),
        ):
            if self.detach and given:
                message = f"{name} needs the end of the run, and --detach does not wait for it"
                hint = "Ask later: glovebox report RUN_ID"
                raise CommandFailure(message, code=ExitCode.USAGE, hint=hint)
        if self.detach and self.target.fresh:
            message = "--detach would leave a --fresh stack behind with nobody to stop it"
            hint = "Start one that stays: glovebox local up"
            raise CommandFailure(message, code=ExitCode.USAGE, hint=hint)
        return self

    def again(self, target: Target) -> tuple[str, ...]:
        """The command that runs the same again."""
        words = ["glovebox", "run"]
        words += [str(self.path)] if self.path is not None else []
        words += target.options
        words += ["--fresh"] if self.target.fresh else []
        words += ["--parallelism", str(self.parallelism)] if self.parallelism else []
        words += ["--fail-fast"] if self.fail_fast else []
        words += ["--report", str(self.report_folder)] if self.report_folder else []
        return tuple(words)

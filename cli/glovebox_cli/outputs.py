"""What a verdict leaves behind: files that were asked for, stdout, and words for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glovebox.domain.documents import DOCUMENTS, DocumentFormat
from glovebox.domain.report import Report

from glovebox_cli.api_client import ApiClient, ApiRefused, ApiUnreachable
from glovebox_cli.ending import Whereabouts, show_ending
from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.github import append_summary, workflow_commands
from glovebox_cli.logs import LogReader
from glovebox_cli.report_folder import Written, write_report
from glovebox_cli.request import RunOutput
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen
from glovebox_cli.target import Target

_MADE_HERE = {
    RunOutput.CTRF: DocumentFormat.CTRF,
    RunOutput.MARKDOWN: DocumentFormat.MARKDOWN,
}
"""What is made of a report here as it is there, and need not be fetched."""


@dataclass(frozen=True)
class Delivery:
    """What is wanted of a report."""

    output: RunOutput
    report_folder: Path | None = None
    junit_file: Path | None = None


def deliver(
    report: Report,
    raw: bytes,
    wanted: Delivery,
    *,
    api: ApiClient,
    screen: Screen,
    target: Target,
    again: tuple[str, ...] | None = None,
) -> None:
    """Write and show everything. Raises CommandFailure where that is not possible."""
    logs = LogReader(api, report.run_id)
    junit = _Junit(api, report.run_id)
    written = _write(report, raw, wanted, junit, logs)
    where = Whereabouts(written, target.options, target.is_own, again)
    if wanted.output is RunOutput.TABLE:
        show_ending(screen.show, report, logs, where)
        return
    show_ending(screen.say, report, logs, where)
    if wanted.output is RunOutput.JSON:
        screen.emit(raw)
    elif wanted.output is RunOutput.JUNIT:
        screen.emit(junit.content())
    elif wanted.output is RunOutput.GITHUB:
        _tell_github(report, screen)
    elif wanted.output in _MADE_HERE:
        screen.emit(DOCUMENTS[_MADE_HERE[wanted.output]].write(report))


def _tell_github(report: Report, screen: Screen) -> None:
    screen.emit(workflow_commands(report).encode())
    try:
        append_summary(report)
    except OSError as error:
        # The verdict is told; its picture is not worth another exit code.
        screen.warn(f"the step's summary could not be written: {error.strerror}")


class _Junit:
    """junit.xml, fetched once and only if it is wanted."""

    def __init__(self, api: ApiClient, run_id: str) -> None:
        self._fetch: Callable[[], bytes] = lambda: api.report(run_id, "junit")
        self._content: bytes | None = None

    def content(self) -> bytes:
        """The file to the byte. Raises CommandFailure."""
        if self._content is None:
            try:
                self._content = self._fetch()
            except (ApiUnreachable, ApiRefused) as error:
                message = f"junit.xml could not be fetched: {one_line(str(error))}"
                raise CommandFailure(message, code=ExitCode.ERRORED) from error
        return self._content


def _write(report: Report, raw: bytes, wanted: Delivery, junit: _Junit, logs: LogReader) -> Written:
    written = Written()
    try:
        if wanted.report_folder is not None:
            folder = wanted.report_folder
            written = write_report(folder, report, raw, junit.content(), logs)
        if wanted.junit_file is not None:
            wanted.junit_file.parent.mkdir(parents=True, exist_ok=True)
            wanted.junit_file.write_bytes(junit.content())
            written = Written((*written.files, wanted.junit_file), written.logs)
    except OSError as error:
        message = f"the report could not be written: {one_line(str(error))}"
        raise CommandFailure(message, code=ExitCode.ERRORED) from error
    return written

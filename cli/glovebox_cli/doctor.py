"""`glovebox doctor`: whether runs can work from here, and what to do where they cannot."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

import httpx

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen
from glovebox_cli.target import Target, TargetChoice, existing_target

LEAST_DISK_BYTES = 2 * 1024**3
"""A stack with a hundred sandboxes of a middling project; less has been seen to fill up."""
MOST_SKEW_SECONDS = 240.0
"""AWS refuses a signature that is five minutes off."""
SERVER_SECONDS = 60.0
ASK_SECONDS = 15.0
MAX_WORDS = 64 * 1024


class Health(StrEnum):
    """What a check comes to."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    health: Health
    words: str
    advice: str | None = None


Check = Callable[[], Finding]


def examine(choice: TargetChoice | None, screen: Screen, *, as_json: bool) -> ExitCode:
    """Make all checks and show them; without a choice those of this machine, with one those of
    the API that it names. Says errored where one failed."""
    findings = []
    for finding in _local_findings() if choice is None else _remote_findings(choice, screen):
        findings.append(finding)
        if not as_json:
            _show(finding, screen)
    if as_json:
        document = {"checks": [asdict(finding) for finding in findings]}
        screen.emit(json.dumps(document, indent=2).encode() + b"\n")
    failed = any(finding.health is Health.FAILED for finding in findings)
    return ExitCode.ERRORED if failed else ExitCode.PASSED


def _show(finding: Finding, screen: Screen) -> None:
    screen.show(f"{finding.health.value:<8} {finding.check}: {one_line(finding.words)}")
    if finding.advice:
        screen.show(f"         {one_line(finding.advice)}")


def _local_findings() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("Python", Health.OK, version)
    yield program(
        "bubblewrap", "bwrap", "On Debian and Ubuntu: sudo apt-get install bubblewrap", needed=True
    )
    yield program("git", "git", "Without it, files that .gitignore names are sent as well.")
    yield program("Node.js", "node", "JavaScript's frameworks need it in local sandboxes.")
    yield disk(shutil.disk_usage(tempfile.gettempdir()).free)
    if shutil.which("bwrap"):
        yield sandboxes([sys.executable, "-c", "from glovebox_cli.main import main; main()"])


def program(name: str, command: str, advice: str, *, needed: bool = False) -> Finding:
    """Whether a program can be found."""
    place = shutil.which(command)
    if place is None:
        return Finding(name, Health.FAILED if needed else Health.WARNING, "not found", advice)
    return Finding(name, Health.OK, place)


def disk(free: int) -> Finding:
    """Whether there is room for sandboxes."""
    words = f"{free / 1024**3:.1f} GiB free in {tempfile.gettempdir()}"
    if free >= LEAST_DISK_BYTES:
        return Finding("disk", Health.OK, words)
    return Finding("disk", Health.WARNING, words, "Sandboxes live there: TMPDIR names another.")


def sandboxes(glovebox: list[str], patience_seconds: float = SERVER_SECONDS) -> Finding:
    """Whether the sandbox server starts, and how well it isolates: it is started and stopped."""
    command = [*glovebox, "local", "sandbox", "-o", "json"]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as heard,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=heard, text=True) as server,
    ):
        # One that says nothing, or does not stop, is not waited for longer.
        timer = threading.Timer(patience_seconds, server.kill)
        timer.start()
        said = server.stdout.readline() if server.stdout else ""
        server.send_signal(signal.SIGINT)
        code = server.wait()
        timer.cancel()
        heard.seek(0)
        errors = heard.read(MAX_WORDS)
    if code == -signal.SIGKILL:
        words = f"the sandbox server was not up and down again within {patience_seconds:.0f} s"
        return Finding("sandboxes", Health.FAILED, words, "See docs/local.md.")
    if not said:
        lines = [line for line in errors.splitlines() if line.startswith("error:")]
        words = (lines or errors.splitlines() or ["the sandbox server did not start"])[-1]
        return Finding("sandboxes", Health.FAILED, words, "See docs/local.md.")
    told = json.loads(said)
    if not told["not_enforced"]:
        return Finding("sandboxes", Health.OK, f"isolation {told['isolation']}")
    words = f"isolation {told['isolation']}; not enforced: {'; '.join(told['not_enforced'])}"
    return Finding("sandboxes", Health.WARNING, words, "Fine for code that is merely buggy.")


def _remote_findings(choice: TargetChoice, screen: Screen) -> Iterator[Finding]:
    try:
        target = existing_target(choice, screen)
    except CommandFailure as failure:
        yield Finding("target", Health.FAILED, failure.message, failure.hint)
        return
    yield Finding("target", Health.OK, target.url)
    yield from ask(target)


def ask(target: Target) -> Iterator[Finding]:
    """Whether the API answers this caller, and whether the clocks agree."""
    try:
        answer = httpx.get(
            f"{target.url.rstrip('/')}/runs",
            params={"limit": "1"},
            auth=target.auth,
            timeout=ASK_SECONDS,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        advice = "Is the address right and the stack up?"
        yield Finding("API", Health.FAILED, f"{type(error).__name__}: {error}", advice)
        return
    yield clock(answer.headers.get("date"), time.time())
    if answer.status_code in (401, 403):
        advice = "Log in (`aws sso login`), or ask for execute-api:Invoke on this API."
        yield Finding("API", Health.FAILED, f"refuses access (HTTP {answer.status_code})", advice)
        return
    try:
        is_ours = answer.is_success and isinstance(answer.json().get("runs"), list)
    except (ValueError, AttributeError):
        is_ours = False
    if is_ours:
        yield Finding("API", Health.OK, "answers, and lets this caller in")
    else:
        words = f"HTTP {answer.status_code}, and not what a Glovebox API answers"
        yield Finding("API", Health.FAILED, words, "Is it the ApiUrl among the stack's outputs?")


def clock(told: str | None, now: float) -> Finding:
    """Whether this machine's clock is near the other's."""
    try:
        skew = abs(parsedate_to_datetime(told or "").timestamp() - now)
    except ValueError:
        return Finding("clock", Health.WARNING, "the answer has no date to compare with")
    if skew <= MOST_SKEW_SECONDS:
        return Finding("clock", Health.OK, f"within {max(1, round(skew))} s of the API's")
    words = f"{skew:.0f} s off the API's"
    return Finding("clock", Health.FAILED, words, "Set it: signed requests are refused.")

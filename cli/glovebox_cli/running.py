"""`glovebox run`, from the manifest to the exit code."""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass
from typing import Any

from glovebox_cli.api_client import ApiClient
from glovebox_cli.api_failures import api_errors_explained
from glovebox_cli.ending import command_line
from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.follow import Follower
from glovebox_cli.interruption import Interrupted, Interruption
from glovebox_cli.json_lines import JsonLines
from glovebox_cli.live import LiveProgress
from glovebox_cli.manifest_file import ManifestFile, find_manifest, read_manifest
from glovebox_cli.outputs import Delivery, deliver
from glovebox_cli.progress import LineProgress, Tally, Watcher
from glovebox_cli.request import RunOutput, RunRequest
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen
from glovebox_cli.submission import prepare
from glovebox_cli.target import Target, existing_target, run_target
from glovebox_cli.verdict import Verdict, judge

WATCH_PATIENCE_SECONDS = 75.0
"""How long the API may be away while a run is followed: an API that is overloaded needs half a
minute to say so once, and a run is not to be lost sight of for a single such answer."""


def execute(request: RunRequest) -> ExitCode:
    """Run and say how it went. Raises CommandFailure and Interrupted."""
    request.checked()
    screen = Screen(request.color, quiet=request.quiet)
    manifest = read_manifest(find_manifest(request.path))
    stop = Interruption()
    with stop.installed():
        if request.detach:
            target = existing_target(request.target, screen)
            return _submit_only(request, manifest, screen, stop, target)
        with run_target(request.target, screen, stop, manifest.manifest.secrets) as target:
            return _submit_and_follow(request, manifest, screen, stop, target)


def watching_client(target: Target, stop: Interruption) -> ApiClient:
    """A client that is patient while a run is followed, but not with a user who wants out."""
    api = ApiClient(
        target.url, auth=target.auth, patience_seconds=WATCH_PATIENCE_SECONDS, sleep=stop.sleep
    )
    api.give_up = lambda: stop.requested
    return api


def _document(
    request: RunRequest, manifest: ManifestFile, screen: Screen, api: ApiClient
) -> dict[str, Any]:
    return prepare(
        api, manifest, screen, parallelism=request.parallelism, fail_fast=request.fail_fast
    )


def _submit_only(
    request: RunRequest, manifest: ManifestFile, screen: Screen, stop: Interruption, target: Target
) -> ExitCode:
    with watching_client(target, stop) as api, api_errors_explained():
        document = _document(request, manifest, screen, api)
        # Without the id the user could not cancel it: this one request is carried through.
        with stop.shielded():
            run_id = api.create_run(document, secrets.token_hex(16))
    tell_submitted(request, screen, target, run_id, manifest.manifest.name)
    return ExitCode.PASSED


def tell_submitted(
    request: RunRequest, screen: Screen, target: Target, run_id: str, name: str | None = None
) -> None:
    """Say what was started, and that it is not waited for."""
    if request.output is RunOutput.TABLE:
        screen.show(one_line(run_id))
    else:
        answer = {"run_id": run_id, "name": name, "api_url": target.url}
        told = {key: value for key, value in answer.items() if value is not None}
        screen.emit(json.dumps(told).encode() + b"\n")
    screen.chat("See: " + command_line(["glovebox", "watch", run_id, *target.options]))


def _submit_and_follow(
    request: RunRequest, manifest: ManifestFile, screen: Screen, stop: Interruption, target: Target
) -> ExitCode:
    with watching_client(target, stop) as api, api_errors_explained():
        document = _document(request, manifest, screen, api)
        with stop.deferred():
            try:
                run_id = api.create_run(document, secrets.token_hex(16))
            except Exception:
                if stop.requested:
                    raise Interrupted from None
                raise
            screen.chat(f"Run {one_line(run_id)}")
            retries = {suite.name: suite.retries for suite in manifest.manifest.suites}
            again = request.again(target)
            session = Session(request, screen, stop, target, api, run_id, Tally(retries), again)
            return session.carry_through()


@dataclass
class Session:
    """One run that is being followed."""

    request: RunRequest
    screen: Screen
    stop: Interruption
    target: Target
    api: ApiClient
    run_id: str
    tally: Tally
    again: tuple[str, ...] | None
    """The command that would run the same again."""
    said_last_line: bool = False

    def carry_through(self) -> ExitCode:
        """Follow, judge, deliver. With `-o jsonl` the last line comes whatever happens."""
        try:
            verdict = self._watch()
            code = self._finish(verdict)
        except CommandFailure as failure:
            self._last_line(None, failure.code, failure.message)
            raise
        except KeyboardInterrupt:
            self._last_line(None, ExitCode.INTERRUPTED, "interrupted")
            raise
        self._last_line(verdict, code, verdict.problem if verdict else "interrupted")
        return code

    def _watch(self) -> Verdict | None:
        """The verdict; None where the user did not wait for the end."""
        progress = self._progress()
        watchers: list[Watcher] = [progress]
        if self.request.output is RunOutput.JSONL:
            watchers.append(JsonLines(self.screen))
        follower = Follower(self.api, self.run_id, watchers, self.stop)
        try:
            run = follower.follow()
            if run is None:
                return None
            verdict = judge(self.api, run, self.stop.sleep)
            if verdict.report is not None:
                follower.complete(verdict.report)
            return verdict
        finally:
            progress.close()

    def _progress(self) -> Watcher:
        asked = self.request
        kind: type[LiveProgress | LineProgress] = LineProgress
        # JSON lines on the same terminal would be torn by a footer that is drawn anew.
        shared = asked.output is RunOutput.JSONL and sys.stdout.isatty()
        if self.screen.rewrites and asked.progress and not asked.quiet and not shared:
            kind = LiveProgress
        return kind(self.screen, self.tally, quiet=asked.quiet, verbose=asked.verbose)

    def _finish(self, verdict: Verdict | None) -> ExitCode:
        if verdict is None:
            self.screen.say(f"Left before the run ended: {self.tally.words()}")
            if not self.target.is_own:
                words = ["glovebox", "status", self.run_id, *self.target.options]
                self.screen.chat("It may still be ending: " + command_line(words))
            return ExitCode.INTERRUPTED
        if verdict.report is None or verdict.raw is None:
            label = verdict.conclusion.value if verdict.conclusion else "errored"
            self.screen.say(f"{label}: {verdict.problem}", style="bold red")
        else:
            asked = self.request
            wanted = Delivery(asked.output, asked.report_folder, asked.junit_file)
            deliver(
                verdict.report,
                verdict.raw,
                wanted,
                api=self.api,
                screen=self.screen,
                target=self.target,
                again=self.again,
            )
        return ExitCode.INTERRUPTED if self.stop.requested else verdict.code

    def _last_line(self, verdict: Verdict | None, code: ExitCode, message: str | None) -> None:
        if self.request.output is not RunOutput.JSONL or self.said_last_line:
            return
        self.said_last_line = True
        report = verdict.report if verdict else None
        conclusion = verdict.conclusion if verdict else None
        JsonLines(self.screen).write(
            {
                "type": "summary",
                "run_id": self.run_id,
                "conclusion": conclusion.value if conclusion else None,
                "exit_code": int(code),
                "summary": report.summary.model_dump(mode="json") if report else None,
                "duration_seconds": report.duration_seconds if report else None,
                "sandboxes": report.usage.sandboxes if report else None,
                "message": report.message if report else message,
            }
        )

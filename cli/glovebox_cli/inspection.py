"""What an API knows about its runs, shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from glovebox.domain.outcome import Conclusion, Outcome
from rich.text import Text

from glovebox_cli.api_client import ApiClient
from glovebox_cli.api_failures import api_errors_explained
from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.logs import attempts_of, read_log
from glovebox_cli.outputs import Delivery, deliver
from glovebox_cli.safe_text import lines_of, one_line
from glovebox_cli.screen import Screen
from glovebox_cli.target import Target, TargetChoice, existing_target
from glovebox_cli.verdict import judge
from glovebox_cli.views import AttemptView, RunView

_GOOD = (Outcome.PASSED, Outcome.SKIPPED)
FOLLOW_SECONDS = 1.0
"""Between two looks at a run whose logs are followed."""
_MOST_PAGES = 10_000  # of attempts; an API whose cursor never rests must not hold us for ever


@contextmanager
def _connected(choice: TargetChoice, screen: Screen) -> Iterator[tuple[ApiClient, Target]]:
    target = existing_target(choice, screen)
    with ApiClient(target.url, auth=target.auth) as api, api_errors_explained():
        yield api, target


def show_report(choice: TargetChoice, screen: Screen, run_id: str, wanted: Delivery) -> None:
    """Deliver a finished run's report."""
    with _connected(choice, screen) as (api, target):
        run = api.run(run_id)
        if not run.is_finished:
            message = f"run {one_line(run_id)} is still {run.state.value}"
            hint = "Its report comes with its end; `glovebox status` tells where it is."
            raise CommandFailure(message, code=ExitCode.ERRORED, hint=hint)
        verdict = judge(api, run, time.sleep)
        if verdict.report is None or verdict.raw is None:
            message = f"no report: {verdict.problem}"
            raise CommandFailure(message, code=ExitCode.ERRORED)
        deliver(verdict.report, verdict.raw, wanted, api=api, screen=screen, target=target)


def show_status(choice: TargetChoice, screen: Screen, run_id: str, *, as_json: bool) -> None:
    """Show one run."""
    with _connected(choice, screen) as (api, _):
        document = api.run_document(run_id)
        run = api.view(document)
    if as_json:
        screen.emit(json.dumps(document, indent=2).encode() + b"\n")
        return
    screen.show(Text.assemble(one_line(run.run_id), "  ", (one_line(run.name), "bold")))
    screen.show(Text.assemble("  ", _how(run), "  ", _counts(run)))
    if run.message:
        screen.show(f"  {one_line(run.message)}")
    for label, moment in (("created", run.created_at), ("finished", run.finished_at)):
        if moment is not None:
            screen.show(f"  {label:<9}{one_line(moment)}")


def show_list(
    choice: TargetChoice,
    screen: Screen,
    filters: Mapping[str, str],
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Show the newest runs that the filters take, one per line."""
    with _connected(choice, screen) as (api, _):
        documents = api.run_documents(filters, limit)
        runs = [api.view(document) for document in documents]
    if as_json:
        screen.emit(json.dumps({"runs": documents}, indent=2).encode() + b"\n")
        return
    if not runs:
        screen.say("No run is like that." if filters else "No runs yet.")
    width = max((len(run.run_id) for run in runs), default=0)
    for run in runs:
        how = _how(run)
        how.pad_right(max(0, 10 - len(how)))
        moment = one_line(run.created_at or "")
        name = one_line(run.name)
        screen.show(
            Text.assemble(f"{one_line(run.run_id):<{width}}  ", how, f"  {moment}  {name}  ")
            + Text(_counts(run), "dim")
        )


def cancel_run(choice: TargetChoice, screen: Screen, run_id: str) -> None:
    """Ask a run to stop."""
    with _connected(choice, screen) as (api, _):
        api.cancel(run_id)
    screen.say(f"Run {one_line(run_id)} was asked to stop.")


def show_logs(choice: TargetChoice, screen: Screen, run_id: str, wanted: str | None) -> None:
    """Show the logs of one test, or of all that did not pass."""
    with _connected(choice, screen) as (api, _):
        latest = _latest_attempts(api, run_id)
        if wanted is None:
            keys = [a.key for a in latest.values() if a.outcome not in _GOOD]
            if not keys:
                screen.say("Every attempt so far passed; name a test to see its log.")
        else:
            keys = [_find(latest, wanted)]
        for key in keys:
            _show_test_logs(screen, api, api.test(run_id, key))


def follow_logs(choice: TargetChoice, screen: Screen, run_id: str, wanted: str | None) -> None:
    """Show logs as attempts end, until the run does: of one test, or of all that did not pass."""
    with _connected(choice, screen) as (api, _):
        cursor: str | None = None
        shown: set[tuple[str, int]] = set()
        while True:
            run, attempts, cursor = api.changes(run_id, cursor)
            news = [a for a in attempts if a.is_finished and (a.key, a.number) not in shown]
            for attempt in news:
                shown.add((attempt.key, attempt.number))
                if _is_wanted(attempt, wanted):
                    _show_test_logs(screen, api, api.test(run_id, attempt.key), attempt.number)
            if run.is_finished and not news:
                return
            if not news:
                time.sleep(FOLLOW_SECONDS)


def _is_wanted(attempt: AttemptView, wanted: str | None) -> bool:
    if wanted is None:
        return attempt.outcome not in _GOOD
    return wanted in (attempt.key, attempt.test_id, f"{attempt.suite} {attempt.test_id}")


def _latest_attempts(api: ApiClient, run_id: str) -> dict[str, AttemptView]:
    latest: dict[str, AttemptView] = {}
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        _, attempts, cursor = api.changes(run_id, cursor)
        # The API may repeat what it told; a page without news is the last.
        news = [a for a in attempts if latest.get(a.key) != a and _is_later(a, latest)]
        if not news:
            break
        latest.update((attempt.key, attempt) for attempt in news)
    return latest


def _is_later(attempt: AttemptView, latest: dict[str, AttemptView]) -> bool:
    known = latest.get(attempt.key)
    if known is None or known.number < attempt.number:
        return True
    return known.number == attempt.number and not known.is_finished


def _find(latest: dict[str, AttemptView], wanted: str) -> str:
    found = [attempt for attempt in latest.values() if _is_wanted(attempt, wanted)]
    if len(found) == 1:
        return found[0].key
    if not found:
        message = f"no attempt at a test called {one_line(wanted)} in this run"
        raise CommandFailure(
            message, code=ExitCode.USAGE, hint="Copy the id from the run's output; quote it."
        )
    details = [f"{a.key}  {one_line(a.suite)} {one_line(a.test_id)}" for a in found]
    message = f"{len(found)} tests are called {one_line(wanted)}; name one by its key"
    raise CommandFailure(message, code=ExitCode.USAGE, details=details)


def _show_test_logs(
    screen: Screen, api: ApiClient, test: dict[str, Any], only: int | None = None
) -> None:
    name = f"{one_line(str(test.get('suite')))} {one_line(str(test.get('test_id')))}"
    for attempt in attempts_of(test):
        if only is not None and attempt.get("number") != only:
            continue
        outcome = one_line(str(attempt.get("outcome") or "running"))
        number = one_line(str(attempt.get("number")))
        screen.show(Text(f"── {name} · attempt {number} · {outcome}", "bold"))
        if isinstance(message := attempt.get("message"), str):
            for line in lines_of(message):
                screen.show(f"   {line}")
        for line in lines_of(read_log(api, attempt)):
            screen.show(line)
        log = attempt.get("log")
        if isinstance(log, dict) and log.get("truncated"):
            screen.show(Text("── the log was too long; its middle was not kept", "dim"))


def _how(run: RunView) -> Text:
    if run.conclusion is None:
        return Text(run.state.value, "blue")
    good = run.conclusion is Conclusion.PASSED
    return Text(run.conclusion.value, "green" if good else "red")


def _counts(run: RunView) -> str:
    if run.summary:
        shown = [(name, count) for name, count in run.summary.items() if count and name != "total"]
        return ", ".join(f"{count} {one_line(name).replace('_', ' ')}" for name, count in shown)
    return f"{run.total} tests" if run.total is not None else ""

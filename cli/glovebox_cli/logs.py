"""The captured output of attempts: from the report where it is short, else from the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glovebox.domain.report import AttemptReport, TestReport

from glovebox_cli.api_client import ApiClient, ApiRefused, ApiUnreachable
from glovebox_cli.safe_text import one_line

MAX_LOG_BYTES = 64 * 1024 * 1024


class LogReader:
    """Reads logs; each is fetched at most once."""

    def __init__(self, api: ApiClient, run_id: str) -> None:
        self._api = api
        self._run_id = run_id
        self._known: dict[tuple[str, int], str] = {}

    def read(self, test: TestReport, attempt: AttemptReport) -> str:
        """The log as text; a sentence in brackets where it cannot be had."""
        if attempt.log is None:
            return ""
        if attempt.log.key is None:
            return attempt.log.text or ""
        identity = (test.key, attempt.number)
        if identity not in self._known:
            self._known[identity] = self._fetch(test.key, attempt.number)
        return self._known[identity]

    def _fetch(self, key: str, number: int) -> str:
        try:
            document = self._api.test(self._run_id, key)
            for attempt in attempts_of(document):
                if attempt.get("number") == number:
                    return read_log(self._api, attempt)
        except (ApiUnreachable, ApiRefused) as error:
            return f"[the log could not be fetched: {one_line(str(error))}]"
        return "[the API does not know this attempt's log]"


def attempts_of(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The attempts in an answer to `GET /runs/{id}/tests/{key}`."""
    attempts = document.get("attempts")
    found = attempts if isinstance(attempts, list) else []
    return [attempt for attempt in found if isinstance(attempt, Mapping)]


def read_log(api: ApiClient, attempt: Mapping[str, Any]) -> str:
    """The whole log of an attempt as the API describes it."""
    log = attempt.get("log")
    if not isinstance(log, Mapping):
        return ""
    if isinstance(log.get("text"), str):
        return str(log["text"])
    if isinstance(log.get("url"), str):
        return api.download(log["url"], MAX_LOG_BYTES).decode(errors="replace")
    return ""

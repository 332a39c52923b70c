"""The clock of the stack: fires EventBridge rules and Scheduler schedules when they are due."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from glovebox_local.delivery.cron import Schedule, minutes_between, parse_schedule
from glovebox_local.settings import ACCOUNT_ID, REGION

_log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
# After a sleep of the machine, minutes further back than this are not made up for.
_LONGEST_GAP = timedelta(hours=1)


@dataclass(slots=True)
class _Entry:
    schedule: Schedule
    timezone: ZoneInfo
    fire: Callable[[datetime], None]
    last: datetime


def system_clock() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


class ScheduleTicker:
    """Looks at the clock a few times a second and fires what has become due since it last did."""

    def __init__(self, clock: Clock, poll_seconds: float) -> None:
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._entries: list[_Entry] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def add(self, expression: str, fire: Callable[[datetime], None], timezone: str = "UTC") -> None:
        """Fire a call on a schedule; rates count from now. Raises TemplateError."""
        entry = _Entry(parse_schedule(expression), ZoneInfo(timezone), fire, self._clock())
        with self._lock:
            self._entries.append(entry)

    def start(self) -> None:
        """Begin to look at the clock."""
        threading.Thread(target=self._run, name="glovebox-clock", daemon=True).start()

    def stop(self) -> None:
        """Fire nothing more."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            self.tick()

    def tick(self) -> None:
        """Fire every schedule that has become due."""
        now = self._clock()
        with self._lock:
            entries = list(self._entries)
        for entry in entries:
            for moment in _due(entry, now):
                try:
                    entry.fire(moment)
                except Exception:  # one target that fails must not stop the clock
                    _log.exception("schedule")


def _due(entry: _Entry, now: datetime) -> list[datetime]:
    schedule = entry.schedule
    if schedule.every is not None:
        if now < entry.last + schedule.every:
            return []
        # However many intervals have passed, one firing makes up for them.
        entry.last += schedule.every * ((now - entry.last) // schedule.every)
        return [entry.last]
    after = max(entry.last, now - _LONGEST_GAP)
    entry.last = now
    if schedule.once is not None:
        moment = schedule.once.replace(tzinfo=entry.timezone).astimezone(UTC)
        return [moment] if after < moment <= now else []
    matches = schedule.matches or (lambda _: False)
    return [
        minute
        for minute in minutes_between(after, now)
        if matches(minute.astimezone(entry.timezone).replace(tzinfo=None))
    ]


def scheduled_event(rule_arn: str, moment: datetime) -> dict[str, Any]:
    """The event that a rule with a schedule sends to its targets."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT_ID,
        "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [rule_arn],
        "detail": {},
    }


def schedule_input(target: dict[str, Any]) -> str:
    """What a Scheduler schedule sends: its Input, or an empty object."""
    return str(target.get("Input") or json.dumps({}))

"""Keeping an embedded stack up until the user is done with it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from glovebox_cli.interruption import Interrupted, Interruption
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen
from glovebox_cli.target import started_stack

_DAY_SECONDS = 86_400.0


def keep_up(screen: Screen, *, name: str | None, as_json: bool) -> None:
    """Start a stack, tell its endpoints, wait for Ctrl-C or SIGTERM, stop it."""
    settings: dict[str, Any] = {"announce": True}
    settings["on_progress"] = lambda step: screen.chat(f"  {step}")
    if name is not None:
        settings["name"] = name
    stop = Interruption()
    # An end by signal is how this command is meant to end.
    with stop.installed(), contextlib.suppress(Interrupted):
        with started_stack(stop, **settings) as endpoints:
            text = endpoints.to_json()
            if as_json:
                screen.emit(json.dumps(json.loads(text)).encode() + b"\n")
            else:
                for key, value in json.loads(text).items():
                    screen.show(f"{one_line(key):<18} {one_line(str(value))}")
            screen.say("The stack is up. Ctrl-C stops it.")
            with stop.deferred():
                while not stop.requested:
                    stop.sleep(_DAY_SECONDS, until=lambda: stop.requested)
            screen.say("Stopping the stack…")
        screen.chat("Stopped.")

"""Keeping the sandbox server up, in this very process, until the user is done with it."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen

_RANDOM_KEY_BYTES = 24
# What an HTTP header can carry to the server unchanged.
_KEY = re.compile(r"[!-~]{1,512}")


def serve(
    screen: Screen,
    api_key: str | None,
    settings: dict[str, Any],
    quotas: dict[str, int],
    *,
    least: Any,
    as_json: bool,
) -> None:
    """Run the server until Ctrl-C or SIGTERM; raises CommandFailure if it cannot start.

    ``settings`` and ``quotas`` are fields of the server's own; ``least`` is the isolation level to
    insist on. Without a key a random one is made and printed; a given one is not repeated.
    """
    service, fields = _modules()
    made = None if api_key else secrets.token_urlsafe(_RANDOM_KEY_BYTES)
    key = api_key or made or ""
    if not _KEY.fullmatch(key):
        message = "the API key must be up to 512 visible ASCII characters"
        raise CommandFailure(message, code=ExitCode.USAGE)
    wanted = fields.SandboxSettings(
        api_key=key, runtime_site=_site(), quotas=fields.Quotas(**quotas), **settings
    )

    def announce(said: dict[str, Any]) -> None:
        _show(screen, said, made, as_json=as_json)

    try:
        code = service.run(wanted, least, announce)
    except service.REFUSALS as refusal:
        message = f"the sandbox server cannot start: {one_line(str(refusal))}"
        raise CommandFailure(message, code=ExitCode.ERRORED) from refusal
    if code:
        message = "the sandbox server had to give up"
        raise CommandFailure(message, code=ExitCode.ERRORED)
    screen.chat("Stopped: no sandbox is left.")


def _show(screen: Screen, said: dict[str, Any], made_key: str | None, *, as_json: bool) -> None:
    shown = {"url": said["url"], "api_key": made_key}
    shown |= {name: said[name] for name in ("isolation", "not_enforced", "pid")}
    if as_json:
        screen.emit(json.dumps(shown).encode() + b"\n")
    else:
        shown["api_key"] = made_key or "as given"
        shown["not_enforced"] = "; ".join(said["not_enforced"]) or "nothing"
        for name, value in shown.items():
            screen.show(f"{name:<13} {one_line(str(value))}")
    missing = "; ".join(said["not_enforced"])
    lacks = f"NOT enforced: {missing}" if missing else "every limit is enforced"
    level = f"isolation {said['isolation']}, {lacks}"
    screen.say(one_line(f"The sandbox server is up at {said['url']}, {level}. Ctrl-C stops it."))


def _modules() -> tuple[Any, Any]:
    try:
        from glovebox_local.sandbox import service, settings
    except ImportError as error:
        message = f"the sandbox server cannot be loaded: {one_line(str(error))}"
        hint = "Install Glovebox with all that it needs for local mode."
        raise CommandFailure(message, code=ExitCode.ERRORED, hint=hint) from error
    return service, settings


def _site() -> Any:
    from glovebox_local.sandbox.runtime import set_up_site

    return set_up_site()

"""What a client wants built: read from JSON, checked, frozen."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from dataclasses import dataclass
from typing import Any, Literal

from glovebox_local.sandbox import checks
from glovebox_local.sandbox.recipe import IMAGE_PLACES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}")
# Public images of plain systems and runtimes: this machine's own system stands in for them.
_STAND_IN = re.compile(
    r"((library/)?(ubuntu|debian|python|node)|ubuntu/node)(:[A-Za-z0-9._-]{1,64})?"
)
_KINDS = ("RUN", "COPY", "ENV", "WORKDIR", "USER", "CMD")
_READY_KINDS = {
    "port": "port",
    "url": "url",
    "file": "path",
    "process": "processName",
    "command": "command",
}
_MAX_STEPS = 200
_MAX_NAME_CHARACTERS = 256
_MAX_SOURCES = 256
_MAX_LINE_BYTES = 64 * 1024
_MIN_INTERVAL_MS = 20
_MAX_READY_MS = 600_000
_PLACES = (*IMAGE_PLACES, "/tmp")  # noqa: S108 - the sandbox's own

ReadyKind = Literal["port", "url", "file", "process", "command"]


@dataclass(frozen=True, slots=True)
class Ready:
    """How to know that a start command has done its work: what to look for, and how long."""

    kind: ReadyKind
    value: str
    timeout_seconds: float
    interval_seconds: float


@dataclass(frozen=True, slots=True)
class Start:
    """A command that every sandbox of an image runs, and when that counts as ready."""

    command: str
    ready: Ready | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``args`` as the client gave them, checked for its kind."""

    kind: str
    args: tuple[str, ...]
    files_hash: str = ""

    def words(self) -> str:
        """As the log shows it."""
        return f"{self.kind} {' '.join(self.args)}"


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """Everything about a build that a client may say."""

    name: str
    from_image: str
    steps: tuple[Step, ...]
    start: Start | None
    skip_cache: bool
    update: bool

    def key(self, base_key: str, digests: dict[str, str]) -> str:
        """A digest of all that the files depend on; ``digests`` has each upload's own."""
        steps = [[s.kind, *s.args, digests.get(s.files_hash, "")] for s in self.steps]
        text = json.dumps([1, base_key, steps])
        return hashlib.sha256(text.encode()).hexdigest()


def read(body: dict[str, Any]) -> BuildRequest:
    """The request that a body makes. Raises ``ApiError`` 400 that names what is wrong."""
    name = checks.text(body, "name")
    if not _NAME.fullmatch(name):
        raise checks.invalid("name must be 1 to 63 letters, digits, dots, dashes, underscores")
    for field in ("cpu", "memory", "diskGB"):
        value = body.get(field)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1_000_000:
            raise checks.invalid(f"{field} must be a positive whole number")
    if body.get("registry_credentials") is not None:
        raise checks.invalid("registry_credentials: the local service pulls from no registry")
    from_image = checks.text(body, "from_image")
    if not 0 < len(from_image) <= _MAX_NAME_CHARACTERS:
        raise checks.invalid(f"from_image must be 1 to {_MAX_NAME_CHARACTERS} characters")
    given = body.get("steps")
    given = [] if given is None else given
    if not isinstance(given, list) or len(given) > _MAX_STEPS:
        raise checks.invalid(f"steps must be a list of at most {_MAX_STEPS}")
    steps = [_step(_worded(step), f"steps[{number}]") for number, step in enumerate(given)]
    command = _start_command(body, steps)
    ready = _ready(body.get("readyCmd"))
    if ready is not None and not command:
        raise checks.invalid("readyCmd needs a startCmd")
    return BuildRequest(
        name=name,
        from_image=from_image,
        steps=tuple(step for step in steps if step.kind != "CMD"),
        start=Start(command, ready) if command else None,
        skip_cache=checks.flag(body, "skipCache", False)
        or any(isinstance(step, dict) and step.get("skipCache") is True for step in given),
        update=checks.flag(body, "update", False),
    )


def stands_in(from_image: str) -> bool:
    """Whether this machine's own system stands in for a public image of this name."""
    return _STAND_IN.fullmatch(from_image) is not None


def resolved(path: str, workdir: str) -> str:
    """A path of a step as an absolute one, a slash at its end kept."""
    whole = posixpath.normpath(posixpath.join(workdir, path))
    return whole + "/" if path.endswith("/") and whole != "/" else whole


def is_in_place(path: str) -> bool:
    """Whether an image may have files at an absolute path."""
    clean = path.rstrip("/")
    return any(clean == place or clean.startswith(f"{place}/") for place in _PLACES)


def _start_command(body: dict[str, Any], steps: list[Step]) -> str:
    if body.get("startCmd") is not None:
        return _line(body, "startCmd")
    return next((step.args[0] for step in reversed(steps) if step.kind == "CMD"), "")


def _line(body: dict[str, Any], name: str) -> str:
    value = checks.text(body, name)
    if len(value.encode()) > _MAX_LINE_BYTES:
        raise checks.invalid(f"{name} exceeds {_MAX_LINE_BYTES} bytes")
    return value


def _worded(given: Any) -> Any:
    """A step as the Python SDK words it; the JavaScript SDK says some otherwise."""
    if not isinstance(given, dict):
        return given
    match given.get("type"):
        case "env":
            return {**given, "type": "ENV", "args": [given.get("key"), given.get("value")]}
        case "workdir":
            return {**given, "type": "WORKDIR", "args": [given.get("path")]}
    return given


def _step(given: Any, where: str) -> Step:
    if not isinstance(given, dict) or given.get("type") not in _KINDS:
        raise checks.invalid(f"{where} must be an object with a type of {', '.join(_KINDS)}")
    kind, args = given["type"], given.get("args")
    if not isinstance(args, list) or not 1 <= len(args) <= 2:
        raise checks.invalid(f"{where}.args must be a list of one or two strings")
    words = tuple(_line({"args": argument}, "args") for argument in args)
    if len(words) != (2 if kind in ("COPY", "ENV") else 1):
        raise checks.invalid(f"{where}: {kind} takes {'two' if len(words) == 1 else 'one'} of args")
    if kind == "ENV":
        checks.variables({"args": {words[0]: words[1]}}, "args")
    if kind == "USER" and not _USER.fullmatch(words[0]):
        raise checks.invalid(f"{where}: not a user's name")
    files_hash = ""
    if kind == "COPY":
        files_hash = checks.text(given, "filesHash")
        if len(files_hash) > _MAX_NAME_CHARACTERS:
            raise checks.invalid(f"{where}.filesHash exceeds {_MAX_NAME_CHARACTERS} characters")
        if not words[0] or words[0].count(",") >= _MAX_SOURCES:
            raise checks.invalid(f"{where}: COPY takes 1 to {_MAX_SOURCES} sources")
    return Step(kind, words, files_hash)


def _ready(given: Any) -> Ready | None:
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("type") not in tuple(_READY_KINDS):
        raise checks.invalid(f"readyCmd.type must be one of {', '.join(_READY_KINDS)}")
    kind: ReadyKind = given["type"]
    value = given.get(_READY_KINDS[kind])
    if kind == "process" and value is None:
        value = given.get("name")  # as the JavaScript SDK has it
    if kind == "port":
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:
            raise checks.invalid("readyCmd.port must be a port's number")
        value = str(value)
    value = _line({"readyCmd": value}, "readyCmd")
    if kind == "url" and not value.startswith(("http://", "https://")):
        raise checks.invalid("readyCmd.url must be an http or https address")
    timeout, interval = (
        _milliseconds(given, name, default)
        for name, default in (("timeout", 30_000), ("interval", 2000))
    )
    return Ready(kind, value, timeout / 1000, max(interval, _MIN_INTERVAL_MS) / 1000)


def _milliseconds(given: dict[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_READY_MS:
        raise checks.invalid(f"readyCmd.{name} must be 1 to {_MAX_READY_MS} milliseconds")
    return value

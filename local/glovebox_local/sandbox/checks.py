"""Checks on what callers send, each answered 400 with a sentence that names the field."""

from __future__ import annotations

import re
from typing import Any

from glovebox_local.sandbox.http import ApiError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_VARIABLES_BYTES = 96 * 1024
MAX_TIMEOUT_SECONDS = 30 * 24 * 3600


def invalid(message: str) -> ApiError:
    """The refusal of a malformed request."""
    return ApiError(400, "INVALID_REQUEST", message)


def text(body: dict[str, Any], name: str, default: str | None = None) -> str:
    """A string without NUL; without ``default`` it must be there."""
    value = body.get(name, default)
    if not isinstance(value, str) or "\0" in value:
        raise invalid(f"{name} must be a string without NUL characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid(f"{name} must be valid Unicode") from error
    return value


def text_of_file(body: dict[str, Any]) -> str:
    """``content``: any text, for a file may hold NUL where a name may not."""
    value = body.get("content")
    if not isinstance(value, str):
        raise invalid("content must be a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid("content must be valid Unicode") from error
    return value


def flag(body: dict[str, Any], name: str, default: bool) -> bool:
    """A JSON boolean; null counts as absent."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(f"{name} must be true or false")
    return value


def seconds(body: dict[str, Any], name: str, default: float) -> float:
    """A positive number of seconds, 30 days at most."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"{name} must be a number of seconds")
    if not 0 < value <= MAX_TIMEOUT_SECONDS:
        raise invalid(f"{name} must be between 0 and {MAX_TIMEOUT_SECONDS} seconds")
    return float(value)


def whole_seconds(body: dict[str, Any], name: str) -> int | None:
    """A positive whole number of seconds, or None if absent or null."""
    if body.get(name) is None:
        return None
    value = seconds(body, name, 1)
    if value != int(value):
        raise invalid(f"{name} must be a whole number of seconds")
    return int(value)


def variables(body: dict[str, Any], name: str) -> dict[str, str]:
    """Environment variables: names as shells have them, values without NUL, 96 KiB together."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"{name} must be an object of strings")
    size = 0
    for key in value:
        if not _VARIABLE.fullmatch(key):
            raise invalid(f"{name} holds a name that no environment variable can have")
        size += len(key) + len(text(value, key).encode())
        if size > _MAX_VARIABLES_BYTES:
            raise invalid(f"{name} exceeds {_MAX_VARIABLES_BYTES} bytes")
    return value


def arguments(body: dict[str, Any]) -> list[str]:
    """``command`` and ``args`` as one argument list."""
    command = text(body, "command")
    args = body.get("args") or []
    if not command or not isinstance(args, list):
        raise invalid("command must be a program's name and args a list of strings")
    return [command, *(text({"args": argument}, "args") for argument in args)]


def file_mode(body: dict[str, Any]) -> int:
    """An octal mode as a string; set-user-id and its like are left out."""
    value = text(body, "mode", "0644")
    try:
        return int(value, 8) & 0o777
    except ValueError as error:
        raise invalid("mode must be an octal number such as 0644") from error

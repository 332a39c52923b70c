"""What pydantic found, in words for the person who wrote the manifest."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic_core import ErrorDetails

from glovebox.domain.manifest_schema import manifest_fields, schema_at
from glovebox.domain.problem import Location, Refusal, path_text, quoted
from glovebox.domain.suggest import closest

_TRUE_WORDS = frozenset({"yes", "on", "y", "1", "true"})
_FALSE_WORDS = frozenset({"no", "off", "n", "0", "false"})


class Finding(NamedTuple):
    """A fault in words, not yet placed in a text."""

    location: Location
    words: str
    suggestion: str | None = None
    at_key: bool = False
    """Whether the key is at fault, not its value."""
    is_absent: bool = False
    """Whether a required key is not there."""


def finding(error: ErrorDetails) -> Finding:
    """Say one of pydantic's errors in plain words."""
    kind, location = error["type"], error["loc"]
    at_key = bool(location) and location[-1] == "[key]"
    if at_key:
        location = location[:-1]
    if kind == "extra_forbidden":
        return _unknown_key(location)
    if kind == "missing":
        return Finding(location, "is missing; it is required", is_absent=True)
    refusal = error.get("ctx", {}).get("error")
    if isinstance(refusal, Refusal):
        return Finding(location, refusal.words, refusal.suggestion, at_key)
    words, suggestion = _wrong_value(kind, location, error["input"])
    return Finding(location, words, suggestion, at_key)


def _unknown_key(location: Location) -> Finding:
    key = str(location[-1])
    words = f"unknown key {quoted(key)}"
    siblings = tuple(schema_at(location[:-1]).get("properties", ()))
    near = _one_level_away(location[:-1])
    sibling = closest(key, siblings)
    home = near.get(key) or (None if sibling else _anywhere(key))
    if home is not None:
        parent = home.rpartition(".")[0]
        place = f"belongs in {parent}" if parent else "belongs at the top level"
        return Finding(location, f"{words}; it {place}", home if parent else None, at_key=True)
    if sibling is None and (cousin := closest(key, near)):
        sibling = near[cousin]
    if sibling is None:
        words += f"; known here: {', '.join(siblings)}"
    return Finding(location, words, sibling, at_key=True)


def _one_level_away(place: Location) -> dict[str, str]:
    """Return the fields of the mappings around and inside a place, by name, as paths."""
    here = _template(place)
    found = {}
    for field in manifest_fields():
        parent, _, name = field.path.rpartition(".")
        inside = parent.rpartition(".")[0] == here
        around = here.rpartition(".")[0] == parent
        if parent != here and (inside or around):
            found[name] = field.path
    return found


def _anywhere(key: str) -> str | None:
    paths = (field.path for field in manifest_fields())
    return next((path for path in paths if path.rpartition(".")[2] == key), None)


def _template(place: Location) -> str:
    return path_text(place).translate(str.maketrans("", "", "0123456789"))


def _wrong_value(kind: str, location: Location, value: object) -> tuple[str, str | None]:
    schema = schema_at(location)
    expected = schema.get("type")
    if "enum" in schema:
        return _not_one_of(schema["enum"], value, location)
    if expected == "boolean":
        return _not_a_switch(value)
    if kind in ("too_short", "too_long"):
        return _wrong_size(kind, schema, value), None
    return _wrong_kind(schema, value, at_root=not location), None


def _wrong_kind(schema: dict[str, Any], value: object, *, at_root: bool) -> str:
    expected = schema.get("type")
    if expected == "integer":
        return _not_in_range(schema, value)
    if expected == "array":
        hint = f"; write [{_shown(value)}]" if isinstance(value, str) else ""
        return f"must be a list, not {_named(value)}{hint}"
    if expected == "object" or at_root:
        return f"must be a mapping of keys to values, not {_named(value)}"
    if isinstance(value, bool | int | float):
        return f"must be text, not {_named(value)}; put it in quotes"
    return f"must be text, not {_named(value)}"


def _not_one_of(options: list[str], value: object, location: Location) -> tuple[str, str | None]:
    listed = ", ".join(options)
    suggestion = closest(value, options) if isinstance(value, str) else None
    if location and location[-1] == "framework":
        return f"{_shown(value)} is no framework of this release; it has {listed}", suggestion
    return f"{_shown(value)} is not one of {listed}", suggestion


def _not_a_switch(value: object) -> tuple[str, str | None]:
    word = str(value).lower() if isinstance(value, str | int) else ""
    suggestion = None
    if word in _TRUE_WORDS | _FALSE_WORDS:
        suggestion = "true" if word in _TRUE_WORDS else "false"
    return f"{_shown(value)} is not a yes or no here; write true or false", suggestion


def _not_in_range(schema: dict[str, Any], value: object) -> str:
    bounds = f"a whole number from {schema['minimum']} to {schema['maximum']}"
    if isinstance(value, str) and value.isdecimal():
        return f"must be {bounds}, without quotes"
    return f"must be {bounds}, not {_shown(value)}"


def _wrong_size(kind: str, schema: dict[str, Any], value: object) -> str:
    count = len(value) if isinstance(value, list | dict) else 0
    if kind == "too_short":
        return "is empty; it needs at least one element, or the key removed"
    limit = schema.get("maxItems", schema.get("maxProperties"))
    return f"has {count} elements; the limit is {limit}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    return str(value) if isinstance(value, int | float) else _named(value)


def _named(value: object) -> str:
    """Name the kind of a value as people do."""
    if isinstance(value, bool):
        return "true or false"
    kinds = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), "nothing")

"""The parameters of a template: defaults, what the caller gives, and their constraints."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from glovebox_local.errors import TemplateError, UnsupportedError

_SIMPLE = frozenset({"String", "Number", "List<Number>", "CommaDelimitedList"})
_KNOWN_KEYS = frozenset(
    {
        "Type",
        "Default",
        "Description",
        "AllowedValues",
        "AllowedPattern",
        "ConstraintDescription",
        "MinLength",
        "MaxLength",
        "MinValue",
        "MaxValue",
        "NoEcho",
    }
)

Value = str | list[str]


def apply_parameters(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]
) -> dict[str, Value]:
    """The value of every declared parameter.

    Raises TemplateError, naming every unknown, missing or refused parameter at once.
    """
    problems: list[str] = []
    for name in given:
        if name not in declared:
            close = difflib.get_close_matches(name, declared, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            problems.append(f"{name}: the template has no such parameter{hint}")
    values: dict[str, Value] = {}
    for name, declaration in declared.items():
        text = given.get(name, declaration.get("Default"))
        if text is None:
            problems.append(f"{name}: required, has no default")
            continue
        value = _parse(name, declaration, str(text))
        problems += [f"{name}: {problem}" for problem in _violations(declaration, value)]
        values[name] = value
    if problems:
        raise TemplateError("parameters: " + "; ".join(problems))
    return values


def _parse(name: str, declaration: Mapping[str, Any], text: str) -> Value:
    kind = declaration.get("Type", "String")
    unknown = set(declaration) - _KNOWN_KEYS
    if kind not in _SIMPLE or unknown:
        what = f"type {kind}" if kind not in _SIMPLE else ", ".join(sorted(unknown))
        msg = f"parameter {name}: {what} is not supported locally"
        raise UnsupportedError(msg)
    if kind in ("CommaDelimitedList", "List<Number>"):
        return [part.strip() for part in text.split(",")] if text else []
    return text


def _violations(declaration: Mapping[str, Any], value: Value) -> list[str]:
    found: list[str] = []
    is_number = "Number" in declaration.get("Type", "")
    for text in value if isinstance(value, list) else [value]:
        shown = "the value" if declaration.get("NoEcho") else repr(text)
        allowed = declaration.get("AllowedValues")
        if allowed is not None and text not in [str(choice) for choice in allowed]:
            found.append(f"{shown} is not one of {', '.join(str(c) for c in allowed)}")
        pattern = declaration.get("AllowedPattern")
        if pattern is not None and re.fullmatch(pattern, text) is None:
            found.append(f"{shown} does not match {pattern}")
        if is_number:
            found += _number_violations(declaration, text, shown)
        low, high = declaration.get("MinLength"), declaration.get("MaxLength")
        if low is not None and len(text) < int(low):
            found.append(f"{shown} is shorter than {low} characters")
        if high is not None and len(text) > int(high):
            found.append(f"{shown} is longer than {high} characters")
    return found


def _number_violations(declaration: Mapping[str, Any], text: str, shown: str) -> list[str]:
    try:
        number = float(text)
    except ValueError:
        return [f"{shown} is not a number"]
    found: list[str] = []
    low, high = declaration.get("MinValue"), declaration.get("MaxValue")
    if low is not None and number < float(low):
        found.append(f"{shown} is less than {low}")
    if high is not None and number > float(high):
        found.append(f"{shown} is more than {high}")
    return found

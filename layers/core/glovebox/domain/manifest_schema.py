"""The manifest's JSON Schema and its list of fields, both derived from the models.

The CLI prints the schema, editors read it, and the words for faults look keys up in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from glovebox.domain.manifest import Manifest
from glovebox.domain.problem import Location

Schema = dict[str, Any]


class FieldDoc(NamedTuple):
    """One field of the manifest, as documentation shows it."""

    path: str
    """As `suites[].timeout`."""
    kind: str
    """What it holds, such as `duration` or `list of text`."""
    default: str
    """As written in a manifest; `required`; empty where the absent field means nothing."""
    description: str


@cache
def _schema() -> Schema:
    raw = Manifest.model_json_schema(mode="validation")
    schema: Schema = _tidied(raw)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:glovebox:manifest:v1",
        **schema,
        "title": "Glovebox manifest, version 1",
    }


def manifest_schema() -> Schema:
    """Return the JSON Schema (2020-12) of manifest v1; the caller may change its copy."""
    copy: Schema = json.loads(json.dumps(_schema()))
    return copy


def manifest_schema_text() -> str:
    """Write the schema as it is published in `docs/schema/manifest.v1.json`."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


def schema_at(location: Location) -> Schema:
    """Return the schema of the value at a place in a manifest; empty where there is none."""
    part = _schema()
    for step in location:
        if isinstance(step, int):
            part = _resolved(part.get("items", {}))
        elif step in part.get("properties", {}):
            part = _resolved(part["properties"][step])
        else:
            extra = part.get("additionalProperties", {})
            part = _resolved(extra) if isinstance(extra, dict) else {}
    return part


def manifest_fields() -> tuple[FieldDoc, ...]:
    """Return every field, outer before inner, in the order of the models."""
    return tuple(_fields("", _schema()))


def _fields(prefix: str, part: Schema) -> Iterator[FieldDoc]:
    required = part.get("required", ())
    inner: list[tuple[str, Schema]] = []
    for name, field in part.get("properties", {}).items():
        shape = _resolved(field)
        yield FieldDoc(
            path=prefix + name,
            kind=_kind(shape),
            default="required" if name in required else _default(field),
            description=" ".join(field.get("description", shape.get("description", "")).split()),
        )
        items = _resolved(shape.get("items", {}))
        inner.append((f"{prefix}{name}.", shape))
        inner.append((f"{prefix}{name}[].", items))
    for inner_prefix, inner_part in inner:
        yield from _fields(inner_prefix, inner_part)


def _default(field: Schema) -> str:
    if "default" not in field or isinstance(field["default"], list | dict):
        return ""
    default = field["default"]
    return default if isinstance(default, str) else json.dumps(default)


def _kind(shape: Schema) -> str:
    if "enum" in shape:
        return ", ".join(f"`{word}`" for word in shape["enum"])
    if "const" in shape:
        return f"`{shape['const']}`"
    if shape.get("type") == "array":
        return f"list of {_kind(_resolved(shape.get('items', {})))}s".replace("texts", "text")
    if shape.get("type") == "object":
        return "mapping"
    if shape.get("type") == "string" and "examples" in shape:
        return "duration"
    words = {"string": "text", "boolean": "true or false", "integer": "whole number"}
    return words.get(shape.get("type", ""), "text")


def _resolved(part: Schema) -> Schema:
    reference = part.get("$ref", "")
    if not reference:
        return part
    target: Schema = _schema()["$defs"][reference.rpartition("/")[2]]
    return target


def _tidied(part: Any, *, names: bool = False) -> Any:
    """Drop pydantic's titles and its nulls: an absent field is left out, never null.

    `names` says that the keys of `part` are field names, among which `title` is possible.
    """
    if isinstance(part, list):
        return [_tidied(item) for item in part]
    if not isinstance(part, Mapping):
        return part
    tidy = {
        key: _tidied(value, names=key in ("properties", "$defs"))
        for key, value in part.items()
        if names or key != "title"
    }
    choices = [choice for choice in tidy.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1 and not names:
        tidy = {**{key: value for key, value in tidy.items() if key != "anyOf"}, **choices[0]}
        tidy.pop("default", None)
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(tidy["description"].split())
    return tidy

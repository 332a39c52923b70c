"""Reads a template file: YAML with CloudFormation's short tags, or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from glovebox_local.errors import TemplateError

# Short tags that are not spelled Fn::<tag>.
_PLAIN = {"Ref": "Ref", "Condition": "Condition"}


# libyaml where it is there: ten times as fast on a template of six hundred lines.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _TemplateLoader(_Base):  # type: ignore[misc]
    """YAML as CloudFormation reads it: its tags, no dates, no key twice."""


def _short_tag(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {_PLAIN.get(suffix, f"Fn::{suffix}"): value}


def _mapping(loader: Any, node: Any) -> dict[str, Any]:
    loader.flatten_mapping(node)
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in found:
            msg = f"{key!r} is given twice, line {key_node.start_mark.line + 1}"
            raise TemplateError(msg)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_TemplateLoader.add_multi_constructor("!", _short_tag)
_TemplateLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
# "Version: 2012-10-17" of a policy is a word, not a day.
_TemplateLoader.add_constructor(
    "tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node)
)


def read_document(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON mapping. Raises TemplateError when it is missing or malformed."""
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.load(text, Loader=_TemplateLoader)  # noqa: S506 - a safe loader
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise TemplateError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{path} is not valid YAML: {error}"
        raise TemplateError(msg) from error
    if not isinstance(document, dict):
        msg = f"{path} is not a mapping"
        raise TemplateError(msg)
    return document

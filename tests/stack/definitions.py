"""The stack's own files, parsed: what is written, and what the SAM translator makes of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
STATE_MACHINE = ROOT / "statemachine" / "run.asl.json"
NOUNS = ("api", "intake", "launcher", "planner", "reducer", "sweeper")

Json = dict[str, Any]


def logical_id(noun: str) -> str:
    return f"{noun.capitalize()}Function"


@cache
def _template() -> Json:
    from samtranslator.yaml_helper import yaml_parse

    parsed: Json = yaml_parse(TEMPLATE.read_text())
    return parsed


def template() -> Json:
    """template.yaml, with its short tags (`!Ref`) in the long form."""
    return copy.deepcopy(_template())


def resources(kind: str) -> dict[str, Json]:
    """The properties of the resources of one type, as written, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template()["Resources"].items()
        if resource["Type"] == kind
    }


@cache
def _expanded() -> Json:
    import boto3
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    packaged = json.loads(json.dumps(template()))
    for name, resource in packaged["Resources"].items():
        properties = resource.get("Properties", {})
        for uri in ("CodeUri", "ContentUri"):
            if uri in properties:
                properties[uri] = f"s3://code/{name}"
        if "DefinitionUri" in properties:
            del properties["DefinitionUri"]
            properties["Definition"] = state_machine()
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="eu-central-1"))
    expanded: Json = translator.translate(packaged, parameter_values={"HopxApiKey": "x"})
    return expanded


def expanded(kind: str) -> dict[str, Json]:
    """The properties of the resources of one type after the SAM translation."""
    return {
        name: resource.get("Properties", {})
        for name, resource in copy.deepcopy(_expanded())["Resources"].items()
        if resource["Type"] == kind
    }


@cache
def _state_machine() -> Json:
    parsed: Json = json.loads(STATE_MACHINE.read_text())
    return parsed


def state_machine() -> Json:
    """run.asl.json as it lies there, placeholders unfilled."""
    return copy.deepcopy(_state_machine())


def scopes(machine: Json) -> Iterator[tuple[str, Json]]:
    """The state machine and the item processors inside it, with the name of each."""
    stack = [("run", machine)]
    while stack:
        name, scope = stack.pop()
        yield name, scope
        for state_name, state in scope["States"].items():
            if "ItemProcessor" in state:
                stack.append((state_name, state["ItemProcessor"]))


def states(kind: str | None = None) -> dict[str, Json]:
    """All states, those inside the Map too, by name."""
    return {
        name: state
        for _, scope in scopes(state_machine())
        for name, state in scope["States"].items()
        if kind is None or state["Type"] == kind
    }


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

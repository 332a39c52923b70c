"""CloudFormation's intrinsic functions: their values, and what they depend on."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from glovebox_local.errors import TemplateError, UnsupportedError

_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")
_LITERAL = re.compile(r"\$\{!([^}]*)\}")
NO_VALUE = object()
"""What AWS::NoValue resolves to: the property that holds it is left out."""


@dataclass(frozen=True, slots=True)
class Physical:
    """A created resource: what Ref gives, and what GetAtt gives by attribute."""

    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)


class Resolver:
    """Resolves a template's expressions against its parameters, conditions and resources."""

    def __init__(
        self,
        template: Mapping[str, Any],
        parameters: Mapping[str, Any],
        pseudo: Mapping[str, str],
    ) -> None:
        self._mappings = template.get("Mappings") or {}
        self._conditions: Mapping[str, Any] = template.get("Conditions") or {}
        self._names = {**parameters, **pseudo}
        self._logical = frozenset(template.get("Resources") or {})
        self._evaluated: dict[str, bool] = {}
        self.resources: dict[str, Physical] = {}
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::If": self._if,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": lambda v: base64.b64encode(str(self.resolve(v)).encode()).decode(),
            "Fn::Equals": lambda v: self.resolve(v[0]) == self.resolve(v[1]),
            "Fn::Not": lambda v: not self.resolve(v[0]),
            "Fn::And": lambda v: all(self.resolve(item) for item in v),
            "Fn::Or": lambda v: any(self.resolve(item) for item in v),
        }

    def resolve(self, node: Any) -> Any:
        """The value of an expression, or of a document full of them.

        Raises TemplateError for what does not exist, UnsupportedError for a function that has no
        local counterpart (Fn::ImportValue, Fn::Transform …).
        """
        if isinstance(node, dict):
            name = intrinsic_name(node)
            if name is not None:
                return self._call(name, node[name])
            items = {key: self.resolve(value) for key, value in node.items()}
            return {key: value for key, value in items.items() if value is not NO_VALUE}
        if isinstance(node, list):
            return [v for v in (self.resolve(item) for item in node) if v is not NO_VALUE]
        if isinstance(node, str) and "{{resolve:" in node:
            msg = f"dynamic references are not supported locally: {node}"
            raise UnsupportedError(msg)
        return node

    def condition(self, name: str) -> bool:
        """Whether a named condition holds."""
        if name not in self._conditions:
            msg = f"no condition is called {name}"
            raise TemplateError(msg)
        if name not in self._evaluated:
            self._evaluated[name] = bool(self.resolve(self._conditions[name]))
        return self._evaluated[name]

    def dependencies(self, node: Any) -> Iterator[str]:
        """The resources that an expression refers to; of an Fn::If, those of the branch taken."""
        if isinstance(node, list):
            for item in node:
                yield from self.dependencies(item)
            return
        if not isinstance(node, dict):
            return
        name = intrinsic_name(node)
        if name == "Fn::If":
            taken = node[name][1 if self.condition(node[name][0]) else 2]
            yield from self.dependencies(taken)
            return
        if name is not None:
            yield from self._named_by(name, node[name])
        for value in node.values():
            yield from self.dependencies(value)

    def _named_by(self, name: str, argument: Any) -> Iterator[str]:
        if name == "Ref":
            names = [argument]
        elif name == "Fn::GetAtt":
            names = [_attribute_path(argument)[0]]
        elif name == "Fn::Sub":
            text = argument[0] if isinstance(argument, list) else argument
            own = argument[1] if isinstance(argument, list) else {}
            names = [v.split(".")[0] for v in _VARIABLE.findall(text) if v not in own]
        else:
            return
        yield from (n for n in names if n in self._logical)

    def _call(self, name: str, argument: Any) -> Any:
        function = self._functions.get(name)
        if function is None:
            msg = f"{name} is not supported locally"
            raise UnsupportedError(msg)
        try:
            return function(argument)
        except (IndexError, KeyError, ValueError) as error:
            msg = f"malformed {name}: {argument!r}"
            raise TemplateError(msg) from error

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self._names:
            return self._names[name]
        return self._physical(name).ref

    def _physical(self, name: str) -> Physical:
        if name in self.resources:
            return self.resources[name]
        known = (
            "is not deployed (its condition is false?)"
            if name in self._logical
            else ("does not exist in the template")
        )
        msg = f"{name} {known}"
        raise TemplateError(msg)

    def _get_att(self, argument: Any) -> str:
        name, attribute = _attribute_path(argument)
        attributes = self._physical(name).attributes
        if attribute not in attributes:
            msg = f"{name} has no attribute {attribute} locally; it has {sorted(attributes)}"
            raise UnsupportedError(msg)
        return attributes[attribute]

    def _sub(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        values = {key: self.resolve(value) for key, value in own.items()}

        def replace(match: re.Match[str]) -> str:
            name = match[1].strip()
            if name in values:
                return str(values[name])
            return str(self._get_att(name) if "." in name else self._ref(name))

        return _LITERAL.sub(r"${\1}", _VARIABLE.sub(replace, text))

    def _join(self, argument: Any) -> str:
        separator, items = argument
        return str(separator).join(str(item) for item in self.resolve(items))

    def _select(self, argument: Any) -> Any:
        return self.resolve(argument[1])[int(self.resolve(argument[0]))]

    def _split(self, argument: Any) -> list[str]:
        return str(self.resolve(argument[1])).split(str(argument[0]))

    def _if(self, argument: Any) -> Any:
        name, then, otherwise = argument
        return self.resolve(then if self.condition(name) else otherwise)

    def _find_in_map(self, argument: Any) -> Any:
        table, row, column = (self.resolve(part) for part in argument)
        return self._mappings[table][row][column]


def intrinsic_name(node: Mapping[str, Any]) -> str | None:
    """The function that a mapping calls, if it is a call."""
    if len(node) != 1:
        return None
    (name,) = node
    if isinstance(name, str) and (name == "Ref" or name.startswith("Fn::")):
        return name
    # {"Condition": "Name"} is a call; {"Condition": {...}} is a policy's own Condition.
    return name if name == "Condition" and isinstance(node[name], str) else None


def _attribute_path(argument: Any) -> tuple[str, str]:
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    return str(parts[0]), str(parts[1])

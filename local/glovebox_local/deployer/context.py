"""What the makers of resources work with: clients, names, and the stack's own machinery."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from glovebox_local.deployer.intrinsics import Physical
from glovebox_local.errors import TemplateError, UnsupportedError
from glovebox_local.executor.model import FunctionSpec
from glovebox_local.settings import ACCOUNT_ID, REGION

_SUFFIX_ALPHABET = string.ascii_uppercase + string.digits
_SUFFIX_LENGTH = 12


class Machinery(Protocol):
    """What deployed resources set in motion, beyond what moto keeps."""

    def register_function(self, function: FunctionSpec) -> None:
        """Make a function invocable, or replace its description."""
        ...

    def function(self, name_or_arn: str) -> FunctionSpec:
        """The description of a function."""
        ...

    def schedule(
        self, expression: str, fire: Callable[[datetime], None], timezone: str = "UTC"
    ) -> None:
        """Fire a call on a schedule."""
        ...

    def deliver(self, targets: list[dict[str, Any]], event: dict[str, Any]) -> None:
        """Send an event to targets."""
        ...

    def serve_api(self, api_id: str, body: Mapping[str, Any]) -> str:
        """Serve an HTTP API, described by an OpenAPI document, and return its URL."""
        ...


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the template, its properties resolved."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """A property, or a default where the template leaves it out."""
        return self.properties.get(name, default)


Make = Callable[["DeployContext", Resource], Physical]


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A resource type: the properties that are acted on, and those knowingly left alone.

    Anything else in a template is refused: a property that is silently dropped is a difference
    between here and AWS that nobody hears of.
    """

    make: Make
    handled: frozenset[str] = frozenset()
    ignored: Mapping[str, str] | None = None
    """Property -> why it makes no difference locally; None accepts every property."""

    def check(self, resource: Resource) -> None:
        """Raise UnsupportedError naming every property that is neither handled nor ignored."""
        if self.ignored is None:
            return
        unknown = set(resource.properties) - self.handled - set(self.ignored)
        if unknown:
            names = ", ".join(sorted(unknown))
            msg = f"{resource.logical_id} ({resource.type}): unsupported locally: {names}"
            raise UnsupportedError(msg)


class DeployContext:
    """Shared by the makers of one deployment."""

    def __init__(
        self,
        stack_name: str,
        client: Callable[[str], Any],
        machinery: Machinery,
        folders: Mapping[str, Path],
    ) -> None:
        self.stack_name = stack_name
        self.machinery = machinery
        self.folders = folders
        self._client = client

    def name(self, resource: Resource, property_name: str, longest: int) -> str:
        """The name that the template gives, or `<stack>-<LogicalId>-<suffix>` as CloudFormation."""
        given = resource.get(property_name)
        if given is not None:
            return str(given)
        suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))
        stem = f"{self.stack_name}-{resource.logical_id}"
        return f"{stem[: longest - _SUFFIX_LENGTH - 1]}-{suffix}"

    def call(self, resource: Resource, service: str, operation: str, **params: Any) -> Any:
        """Call the emulated AWS for a resource, its numbers and truths as the API wants them.

        Raises TemplateError, naming the resource, when the API refuses.
        """
        from botocore.exceptions import ClientError, ParamValidationError

        client = self._client(service)
        shape = client.meta.service_model.operation_model(_camel(operation)).input_shape
        given = {name: value for name, value in params.items() if value is not None}
        try:
            return getattr(client, operation)(**coerce(given, shape))
        except (ClientError, ParamValidationError) as error:
            msg = f"{resource.logical_id} ({resource.type}): {error}"
            raise TemplateError(msg) from error


def arn(service: str, resource: str) -> str:
    """The ARN of a resource of the stack's account and region."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{resource}"


def _camel(operation: str) -> str:
    return "".join(part.capitalize() for part in operation.split("_")).replace("Api", "Api")


def coerce(value: Any, shape: Any) -> Any:
    """Give a value the types of a botocore shape: a template may say "30" or 30 for a number."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        members = shape.members
        return {k: coerce(v, members[k]) if k in members else v for k, v in value.items()}
    if kind == "list" and isinstance(value, list):
        return [coerce(item, shape.member) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {k: coerce(v, shape.value) for k, v in value.items()}
    if kind in ("integer", "long") and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind in ("float", "double") and isinstance(value, str):
        return float(value)
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind == "string" and isinstance(value, bool):
        return str(value).lower()
    if kind == "string" and isinstance(value, int | float):
        return str(value)
    return value

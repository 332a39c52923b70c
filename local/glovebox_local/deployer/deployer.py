"""Creates a template's resources in the order of their dependencies, and resolves its outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glovebox_local.deployer import (
    kinds_access,
    kinds_compute,
    kinds_messaging,
    kinds_storage,
    kinds_workflow,
)
from glovebox_local.deployer.context import DeployContext, Machinery, Resource, ResourceKind
from glovebox_local.deployer.document import read_document
from glovebox_local.deployer.intrinsics import NO_VALUE, Physical, Resolver
from glovebox_local.deployer.parameters import apply_parameters
from glovebox_local.deployer.sam import translate
from glovebox_local.deployer.translator import TranslatorProcess
from glovebox_local.errors import TemplateError, UnsupportedError
from glovebox_local.settings import ACCOUNT_ID, REGION

KINDS: Mapping[str, ResourceKind] = {
    **kinds_storage.KINDS,
    **kinds_messaging.KINDS,
    **kinds_compute.KINDS,
    **kinds_workflow.KINDS,
    **kinds_access.KINDS,
}
_ATTRIBUTES = frozenset(
    {"Type", "Properties", "DependsOn", "Condition", "Metadata"}
    | {"DeletionPolicy", "UpdateReplacePolicy"}  # what happens after us
)
_SECTIONS = frozenset(
    {"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings"}
    | {"Conditions", "Resources", "Outputs", "Transform", "Globals"}
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed template."""

    outputs: Mapping[str, str]
    resources: Mapping[str, Physical]
    parameters: Mapping[str, Any]
    """Those that were given, and the defaults of the others."""


class Deployer:
    """Deploys one template into an empty emulated account."""

    def __init__(
        self,
        stack_name: str,
        client: Callable[[str], Any],
        machinery: Machinery,
        translator: TranslatorProcess | None = None,
    ) -> None:
        self._translator = translator
        self._stack_name = stack_name
        self._client = client
        self._machinery = machinery
        self._api_urls: dict[str, str] = {}

    def deploy(self, path: Path, parameters: Mapping[str, str]) -> Deployment:
        """Deploy a template file.

        Raises TemplateError (UnsupportedError for what has no local counterpart) before the first
        resource is made where that can be known, and with the resource's logical id after.
        """
        declared = read_document(path).get("Parameters") or {}
        values = apply_parameters(declared, parameters)
        translated = translate(path, values, self._translator)
        template = translated.template
        unknown = set(template) - _SECTIONS
        if unknown:
            msg = f"unsupported sections: {', '.join(sorted(unknown))}"
            raise UnsupportedError(msg)
        # The translator may have added resources, but never a parameter.
        resolver = Resolver(template, values, self._pseudo_parameters())
        wanted = self._wanted(template["Resources"], resolver)
        context = DeployContext(self._stack_name, self._client, self._machinery, translated.folders)
        for logical_id in in_order(wanted, resolver):
            resolver.resources[logical_id] = self._make(
                context, resolver, logical_id, wanted[logical_id]
            )
        outputs = self._outputs(template.get("Outputs") or {}, resolver)
        return Deployment(outputs, dict(resolver.resources), values)

    def _pseudo_parameters(self) -> dict[str, str]:
        identifier = f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/{self._stack_name}/local"
        return {
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": self._stack_name,
            "AWS::StackId": identifier,
        }

    def _wanted(self, resources: Mapping[str, Any], resolver: Resolver) -> dict[str, Any]:
        """The resources whose condition holds; every problem of them that shows beforehand."""
        problems: list[str] = []
        wanted: dict[str, Any] = {}
        for name, resource in resources.items():
            if "Condition" in resource and not resolver.condition(resource["Condition"]):
                continue
            wanted[name] = resource
            if resource["Type"] not in KINDS:
                problems.append(f"{name}: resource type {resource['Type']} is not supported")
                continue
            odd = set(resource) - _ATTRIBUTES
            if odd:
                problems.append(f"{name}: {', '.join(sorted(odd))} is not supported")
            try:
                described = Resource(name, resource["Type"], resource.get("Properties") or {})
                KINDS[resource["Type"]].check(described)
            except UnsupportedError as error:
                problems.append(str(error))
        if problems:
            raise UnsupportedError("not deployable locally: " + "; ".join(problems))
        return wanted

    def _make(
        self, context: DeployContext, resolver: Resolver, name: str, resource: Mapping[str, Any]
    ) -> Physical:
        kind = KINDS[resource["Type"]]
        properties = self._localise(resolver.resolve(resource.get("Properties") or {}))
        described = Resource(name, resource["Type"], properties)
        kind.check(described)
        physical = kind.make(context, described)
        if resource["Type"] == "AWS::ApiGatewayV2::Api":
            self._api_urls[physical.ref] = physical.attributes["ApiEndpoint"]
        return physical

    def _localise(self, value: Any) -> Any:
        """Replace the public URL that a template builds for its API by the one served here."""
        if isinstance(value, dict):
            return {key: self._localise(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._localise(item) for item in value]
        if isinstance(value, str) and ".execute-api." in value:
            for api_id, url in self._api_urls.items():
                public = re.escape(f"https://{api_id}.execute-api.{REGION}.amazonaws.com")
                value = re.sub(public, url, value)
        return value

    def _outputs(self, outputs: Mapping[str, Any], resolver: Resolver) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, output in outputs.items():
            if "Condition" in output and not resolver.condition(output["Condition"]):
                continue
            value = self._localise(resolver.resolve(output["Value"]))
            if value is not NO_VALUE:
                found[name] = str(value)
        return found


def in_order(resources: Mapping[str, Any], resolver: Resolver) -> list[str]:
    """The resources, each after those that it depends on, otherwise as the template has them.

    Raises TemplateError on a cycle.
    """
    ordered: list[str] = []
    visiting: list[str] = []

    def visit(name: str) -> None:
        if name in ordered or name not in resources:
            return
        if name in visiting:
            cycle = " -> ".join([*visiting[visiting.index(name) :], name])
            msg = f"circular dependency: {cycle}"
            raise TemplateError(msg)
        visiting.append(name)
        resource = resources[name]
        explicit = resource.get("DependsOn", [])
        for other in [explicit] if isinstance(explicit, str) else explicit:
            visit(other)
        for other in resolver.dependencies(resource.get("Properties") or {}):
            visit(other)
        visiting.pop()
        ordered.append(name)

    for name in resources:
        visit(name)
    return ordered

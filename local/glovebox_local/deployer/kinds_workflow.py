"""State machines and HTTP APIs."""

from __future__ import annotations

import json

from glovebox_local.deployer.context import DeployContext, Resource, ResourceKind
from glovebox_local.deployer.intrinsics import Physical
from glovebox_local.errors import TemplateError, UnsupportedError

_NO_TAGS = "nothing reads tags here"
_NO_XRAY = "there is no X-Ray here"
_UNKNOWN_BODY = "the gateway serves the OpenAPI document that SAM makes of the routes"


def _state_machine(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "StateMachineName", 80)
    definition = resource.get("DefinitionString")
    if definition is None:
        definition = json.dumps(resource.get("Definition"))
    for key, value in (resource.get("DefinitionSubstitutions") or {}).items():
        definition = definition.replace(f"${{{key}}}", str(value))
    if "${" in definition:
        start = definition.index("${")
        msg = f"{resource.logical_id}: no substitution for {definition[start : start + 40]!r}"
        raise TemplateError(msg)
    created = context.call(
        resource,
        "stepfunctions",
        "create_state_machine",
        name=name,
        definition=definition,
        roleArn=resource.get("RoleArn"),
        type=resource.get("StateMachineType"),
    )["stateMachineArn"]
    return Physical(created, {"Arn": created, "Name": name})


def _api(context: DeployContext, resource: Resource) -> Physical:
    body = resource.get("Body")
    if not isinstance(body, dict):
        msg = f"{resource.logical_id}: {_UNKNOWN_BODY}, and there is none"
        raise UnsupportedError(msg)
    identifier = context.name(resource, "ApiId", 40).rpartition("-")[2].lower()[:10]
    url = context.machinery.serve_api(identifier, body)
    return Physical(identifier, {"ApiEndpoint": url, "ApiId": identifier})


def _stage(_context: DeployContext, resource: Resource) -> Physical:
    if resource.get("StageName") != "$default":
        msg = f"{resource.logical_id}: only the stage $default is served locally"
        raise UnsupportedError(msg)
    return Physical("$default")


KINDS = {
    "AWS::StepFunctions::StateMachine": ResourceKind(
        _state_machine,
        frozenset(
            {
                "StateMachineName",
                "StateMachineType",
                "Definition",
                "DefinitionString",
                "DefinitionSubstitutions",
                "RoleArn",
            }
        ),
        {
            "LoggingConfiguration": "GetExecutionHistory has it all",
            "TracingConfiguration": _NO_XRAY,
            "EncryptionConfiguration": "local executions live in memory",
            "Tags": _NO_TAGS,
        },
    ),
    "AWS::ApiGatewayV2::Api": ResourceKind(
        _api,
        frozenset({"Body"}),
        {
            "FailOnWarnings": _UNKNOWN_BODY,
            "Description": "nobody reads it here",
            "DisableExecuteApiEndpoint": "the loopback endpoint is the only one",
            "Tags": _NO_TAGS,
        },
    ),
    "AWS::ApiGatewayV2::Stage": ResourceKind(
        _stage,
        frozenset({"ApiId", "StageName"}),
        {
            "AutoDeploy": "there is nothing to deploy",
            "DefaultRouteSettings": "requests are not throttled",
            "RouteSettings": "requests are not throttled",
            "AccessLogSettings": "functions log what they do",
            "StageVariables": "only integrations use them, and those are resolved",
            "Tags": _NO_TAGS,
        },
    ),
}

"""Functions, their layers, and the mappings of queues to them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from glovebox_local.deployer.context import DeployContext, Resource, ResourceKind, arn
from glovebox_local.deployer.intrinsics import Physical
from glovebox_local.errors import UnsupportedError
from glovebox_local.executor.model import AsyncPolicy, FunctionSpec

_NO_TAGS = "nothing reads tags here"
_NO_XRAY = "there is no X-Ray here"
_HOST = "functions run on this machine's processor, Python and disk"


def _empty_zip() -> bytes:
    """What moto is given for code: it wants an archive, the code itself stays in its folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w"):
        pass
    return buffer.getvalue()


def _folder(context: DeployContext, resource: Resource, code: dict[str, Any]) -> Path:
    folder = context.folders.get(str(code.get("S3Key")))
    if folder is None:
        msg = f"{resource.logical_id}: its code is not a folder of this repository"
        raise UnsupportedError(msg)
    return folder


def _layer(context: DeployContext, resource: Resource) -> Physical:
    _folder(context, resource, resource.get("Content"))
    published = context.call(
        resource,
        "lambda",
        "publish_layer_version",
        LayerName=resource.get("LayerName", resource.logical_id),
        Description=resource.get("Content")["S3Key"],
        Content={"ZipFile": _empty_zip()},
    )
    version = published["LayerVersionArn"]
    return Physical(version, {"LayerVersionArn": version})


def _layer_path(context: DeployContext, resource: Resource, version: str) -> Path | None:
    """The folder of a layer that goes on the Python path.

    A layer of requirements has no code of its own before `sam build`: locally the virtual
    environment that runs the stack provides what it lists.
    """
    name = version.split(":")[6]
    layer = context.call(
        resource,
        "lambda",
        "get_layer_version",
        LayerName=name,
        VersionNumber=int(version.split(":")[7]),
    )
    folder = context.folders[layer["Description"]]
    if (folder / "python").is_dir():
        return folder / "python"
    if (folder / "requirements.txt").is_file() and not any(folder.glob("*/__init__.py")):
        return None
    return folder


def _function(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "FunctionName", 64)
    layers = [str(layer) for layer in resource.get("Layers", [])]
    environment = (resource.get("Environment") or {}).get("Variables", {})
    variables = {str(key): _env_text(value) for key, value in environment.items()}
    context.call(
        resource,
        "lambda",
        "create_function",
        FunctionName=name,
        Role=resource.get("Role"),
        Handler=resource.get("Handler"),
        Runtime=resource.get("Runtime"),
        Timeout=resource.get("Timeout"),
        MemorySize=resource.get("MemorySize"),
        Layers=layers,
        Environment={"Variables": variables},
        Code={"ZipFile": _empty_zip()},
    )
    paths = [_layer_path(context, resource, layer) for layer in layers]
    found = tuple(path for path in paths if path is not None)
    folder = _folder(context, resource, resource.get("Code"))
    context.machinery.register_function(_spec(resource, name, folder, found, variables))
    return Physical(name, {"Arn": arn("lambda", f"function:{name}")})


def _spec(
    resource: Resource,
    name: str,
    folder: Path,
    layers: tuple[Path, ...],
    variables: dict[str, str],
) -> FunctionSpec:
    reserved = resource.get("ReservedConcurrentExecutions")
    logging = resource.get("LoggingConfig") or {}
    return FunctionSpec(
        logical_id=resource.logical_id,
        name=name,
        arn=arn("lambda", f"function:{name}"),
        handler=str(resource.get("Handler")),
        task_root=folder,
        layers=layers,
        environment=variables,
        timeout_seconds=float(resource.get("Timeout", 3)),
        memory_mb=int(resource.get("MemorySize", 128)),
        reserved_concurrency=None if reserved is None else int(reserved),
        runtime=str(resource.get("Runtime")),
        log_group=str(logging.get("LogGroup") or f"/aws/lambda/{name}"),
        log_format=str(logging.get("LogFormat", "Text")),
        log_level=str(logging.get("ApplicationLogLevel", "")),
        asynchronous=AsyncPolicy(
            dead_letter=(resource.get("DeadLetterConfig") or {}).get("TargetArn")
        ),
    )


def _env_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _event_invoke_config(context: DeployContext, resource: Resource) -> Physical:
    function = context.machinery.function(resource.get("FunctionName"))
    destinations = resource.get("DestinationConfig") or {}
    policy = replace(
        function.asynchronous,
        retries=int(resource.get("MaximumRetryAttempts", 2)),
        maximum_age_seconds=float(resource.get("MaximumEventAgeInSeconds", 21600)),
        on_success=destinations.get("OnSuccess", {}).get("Destination"),
        on_failure=destinations.get("OnFailure", {}).get("Destination"),
    )
    context.machinery.register_function(replace(function, asynchronous=policy))
    return Physical(f"{function.name}|$LATEST")


def _mapping(context: DeployContext, resource: Resource) -> Physical:
    source = str(resource.get("EventSourceArn"))
    if source.split(":")[2] != "sqs":
        msg = f"{resource.logical_id}: only queues can be mapped to functions locally"
        raise UnsupportedError(msg)
    created = context.call(
        resource, "lambda", "create_event_source_mapping", **dict(resource.properties)
    )
    return Physical(created["UUID"], {"Id": created["UUID"]})


KINDS = {
    "AWS::Lambda::LayerVersion": ResourceKind(
        _layer,
        frozenset({"LayerName", "Content"}),
        {
            "Description": "nobody reads it here",
            "CompatibleRuntimes": _HOST,
            "CompatibleArchitectures": _HOST,
            "LicenseInfo": "nobody reads it here",
        },
    ),
    "AWS::Lambda::Function": ResourceKind(
        _function,
        frozenset(
            {
                "FunctionName",
                "Handler",
                "Runtime",
                "Role",
                "Code",
                "Environment",
                "Layers",
                "Timeout",
                "MemorySize",
                "LoggingConfig",
                "ReservedConcurrentExecutions",
                "DeadLetterConfig",
            }
        ),
        {
            "Description": "nobody reads it here",
            "Architectures": _HOST,
            "EphemeralStorage": _HOST,
            "SnapStart": _HOST,
            "RecursiveLoop": "loops are the caller's to end locally",
            "TracingConfig": _NO_XRAY,
            "PackageType": "only folders are deployed",
            "Tags": _NO_TAGS,
        },
    ),
    "AWS::Lambda::EventInvokeConfig": ResourceKind(
        _event_invoke_config,
        frozenset(
            {
                "FunctionName",
                "MaximumRetryAttempts",
                "MaximumEventAgeInSeconds",
                "DestinationConfig",
            }
        ),
        {"Qualifier": "there is one version of a function here"},
    ),
    "AWS::Lambda::EventSourceMapping": ResourceKind(
        _mapping,
        frozenset(
            {
                "EventSourceArn",
                "FunctionName",
                "BatchSize",
                "MaximumBatchingWindowInSeconds",
                "FunctionResponseTypes",
                "ScalingConfig",
                "Enabled",
            }
        ),
        {},
    ),
}

"""Buckets, tables, secrets and log groups."""

from __future__ import annotations

import json
from typing import Any

from glovebox_local.deployer.context import DeployContext, Resource, ResourceKind, arn
from glovebox_local.deployer.intrinsics import Physical

_NO_TAGS = "nothing reads tags here"
_NOT_ENCRYPTED = "local data lives in memory and is not encrypted"
_NO_BACKUPS = "local data ends with the stack"

# CloudFormation's list, its target and event properties -> the API's.
_NOTIFICATIONS = (
    ("LambdaConfigurations", "Function", "LambdaFunctionConfigurations", "LambdaFunctionArn"),
    ("QueueConfigurations", "Queue", "QueueConfigurations", "QueueArn"),
    ("TopicConfigurations", "Topic", "TopicConfigurations", "TopicArn"),
)


def _bucket(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "BucketName", 63).lower()
    context.call(resource, "s3", "create_bucket", Bucket=name)
    versioning = resource.get("VersioningConfiguration")
    if versioning:
        context.call(
            resource,
            "s3",
            "put_bucket_versioning",
            Bucket=name,
            VersioningConfiguration=versioning,
        )
    notifications = _notifications(resource.get("NotificationConfiguration") or {})
    if notifications:
        context.call(
            resource,
            "s3",
            "put_bucket_notification_configuration",
            Bucket=name,
            NotificationConfiguration=notifications,
        )
    domain = f"{name}.s3.amazonaws.com"
    regional = f"{name}.s3.us-east-1.amazonaws.com"
    attributes = {
        "Arn": f"arn:aws:s3:::{name}",
        "DomainName": domain,
        "RegionalDomainName": regional,
    }
    return Physical(name, attributes)


def _notifications(configured: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    bridge = configured.get("EventBridgeConfiguration")
    if bridge is not None and str(bridge.get("EventBridgeEnabled", True)).lower() == "true":
        found["EventBridgeConfiguration"] = {}
    for source, target, destination, target_arn in _NOTIFICATIONS:
        entries = [
            {
                target_arn: entry[target],
                "Events": [entry["Event"]],
                "Filter": {
                    "Key": {
                        "FilterRules": entry.get("Filter", {}).get("S3Key", {}).get("Rules", [])
                    }
                },
            }
            for entry in configured.get(source, [])
        ]
        if entries:
            found[destination] = entries
    return found


def _table(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "TableName", 255)
    stream = resource.get("StreamSpecification")
    created = context.call(
        resource,
        "dynamodb",
        "create_table",
        TableName=name,
        AttributeDefinitions=resource.get("AttributeDefinitions"),
        KeySchema=resource.get("KeySchema"),
        LocalSecondaryIndexes=resource.get("LocalSecondaryIndexes"),
        GlobalSecondaryIndexes=resource.get("GlobalSecondaryIndexes"),
        BillingMode=resource.get("BillingMode"),
        ProvisionedThroughput=resource.get("ProvisionedThroughput"),
        StreamSpecification={"StreamEnabled": True, **stream} if stream else None,
    )["TableDescription"]
    ttl = resource.get("TimeToLiveSpecification")
    if ttl:
        context.call(
            resource,
            "dynamodb",
            "update_time_to_live",
            TableName=name,
            TimeToLiveSpecification=ttl,
        )
    attributes = {"Arn": created["TableArn"]}
    if stream:
        attributes["StreamArn"] = created["LatestStreamArn"]
    return Physical(name, attributes)


def _secret(context: DeployContext, resource: Resource) -> Physical:
    text = resource.get("SecretString")
    generate = resource.get("GenerateSecretString")
    if text is None:
        text = _generate(context, resource, generate or {})
    created = context.call(
        resource,
        "secretsmanager",
        "create_secret",
        Name=context.name(resource, "Name", 512),
        Description=resource.get("Description"),
        SecretString=text,
    )
    return Physical(created["ARN"], {"Id": created["ARN"]})


def _generate(context: DeployContext, resource: Resource, wanted: dict[str, Any]) -> str:
    options = dict(wanted)
    template = options.pop("SecretStringTemplate", None)
    key = options.pop("GenerateStringKey", None)
    password = context.call(resource, "secretsmanager", "get_random_password", **options)
    if template is None:
        return str(password["RandomPassword"])
    return json.dumps({**json.loads(template), str(key): password["RandomPassword"]})


def _log_group(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "LogGroupName", 512)
    context.call(resource, "logs", "create_log_group", logGroupName=name)
    return Physical(name, {"Arn": arn("logs", f"log-group:{name}:*")})


def _parameter(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "Name", 512)
    context.call(
        resource,
        "ssm",
        "put_parameter",
        Name=name,
        Value=resource.get("Value"),
        Type=resource.get("Type"),
        Description=resource.get("Description"),
    )
    return Physical(name, {"Type": str(resource.get("Type")), "Value": str(resource.get("Value"))})


KINDS = {
    "AWS::S3::Bucket": ResourceKind(
        _bucket,
        frozenset({"BucketName", "VersioningConfiguration", "NotificationConfiguration"}),
        {
            "LifecycleConfiguration": "no local stack lives for days",
            "PublicAccessBlockConfiguration": "the emulator listens on loopback only",
            "OwnershipControls": "there is one account here",
            "BucketEncryption": _NOT_ENCRYPTED,
            "CorsConfiguration": "the emulator answers every origin",
            "Tags": _NO_TAGS,
        },
    ),
    "AWS::DynamoDB::Table": ResourceKind(
        _table,
        frozenset(
            {
                "TableName",
                "AttributeDefinitions",
                "KeySchema",
                "LocalSecondaryIndexes",
                "GlobalSecondaryIndexes",
                "BillingMode",
                "ProvisionedThroughput",
                "StreamSpecification",
                "TimeToLiveSpecification",
            }
        ),
        {
            "PointInTimeRecoverySpecification": _NO_BACKUPS,
            "SSESpecification": _NOT_ENCRYPTED,
            "DeletionProtectionEnabled": _NO_BACKUPS,
            "TableClass": "a matter of price",
            "OnDemandThroughput": "throughput is what the machine gives",
            "Tags": _NO_TAGS,
        },
    ),
    "AWS::SecretsManager::Secret": ResourceKind(
        _secret,
        frozenset({"Name", "Description", "SecretString", "GenerateSecretString"}),
        {"KmsKeyId": _NOT_ENCRYPTED, "Tags": _NO_TAGS},
    ),
    "AWS::Logs::LogGroup": ResourceKind(
        _log_group,
        frozenset({"LogGroupName"}),
        {
            "RetentionInDays": "no local stack lives for days",
            "KmsKeyId": _NOT_ENCRYPTED,
            "LogGroupClass": "a matter of price",
            "DeletionProtectionEnabled": _NO_BACKUPS,
            "Tags": _NO_TAGS,
        },
    ),
    "AWS::SSM::Parameter": ResourceKind(
        _parameter,
        frozenset({"Name", "Value", "Type", "Description"}),
        {"Tier": "a matter of price", "Tags": _NO_TAGS},
    ),
}

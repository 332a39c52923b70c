"""Roles and policies, which nobody enforces here, and monitoring, which nobody feeds here."""

from __future__ import annotations

import json

from glovebox_local.deployer.context import DeployContext, Resource, ResourceKind, arn
from glovebox_local.deployer.intrinsics import Physical

_NO_IAM = "IAM is not enforced locally"


def _role(context: DeployContext, resource: Resource) -> Physical:
    # moto's Lambda wants to see a role that trusts it.
    name = context.name(resource, "RoleName", 64)
    role = context.call(
        resource,
        "iam",
        "create_role",
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps(resource.get("AssumeRolePolicyDocument")),
    )["Role"]
    return Physical(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})


def _managed_policy(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "ManagedPolicyName", 128)
    identifier = f"arn:aws:iam::123456789012:policy/{name}"
    return Physical(identifier, {"PolicyArn": identifier})


def _named_only(context: DeployContext, resource: Resource) -> Physical:
    """A resource that has a name and no effect: nothing is created for it."""
    name = context.name(resource, "Name", 128)
    service, kind = resource.type.split("::")[1:]
    return Physical(name, {"Arn": arn(service.lower(), f"{kind.lower()}/{name}"), "Id": name})


_UNENFORCED = ResourceKind(_named_only, ignored=None)

KINDS = {
    "AWS::IAM::Role": ResourceKind(
        _role,
        frozenset({"RoleName", "AssumeRolePolicyDocument"}),
        {
            "Policies": _NO_IAM,
            "ManagedPolicyArns": _NO_IAM,
            "PermissionsBoundary": _NO_IAM,
            "MaxSessionDuration": _NO_IAM,
            "Path": _NO_IAM,
            "Description": "nobody reads it here",
            "Tags": "nothing reads tags here",
        },
    ),
    "AWS::IAM::ManagedPolicy": ResourceKind(
        _managed_policy,
        frozenset({"ManagedPolicyName"}),
        {"PolicyDocument": _NO_IAM, "Roles": _NO_IAM, "Description": _NO_IAM, "Path": _NO_IAM},
    ),
    # IAM is not enforced locally: every caller may do everything.
    "AWS::IAM::Policy": _UNENFORCED,
    "AWS::S3::BucketPolicy": _UNENFORCED,
    "AWS::SQS::QueuePolicy": _UNENFORCED,
    "AWS::SNS::TopicPolicy": _UNENFORCED,
    "AWS::Events::EventBusPolicy": _UNENFORCED,
    "AWS::Lambda::Permission": _UNENFORCED,
    "AWS::SecretsManager::ResourcePolicy": _UNENFORCED,
    # Nobody looks at a metric here: functions print them (EMF), the log folder keeps them.
    "AWS::CloudWatch::Alarm": _UNENFORCED,
    "AWS::CloudWatch::CompositeAlarm": _UNENFORCED,
    "AWS::CloudWatch::Dashboard": _UNENFORCED,
    "AWS::Logs::MetricFilter": _UNENFORCED,
    "AWS::Logs::QueryDefinition": _UNENFORCED,
    "AWS::Logs::ResourcePolicy": _UNENFORCED,
}

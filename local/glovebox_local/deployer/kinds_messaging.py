"""Queues, topics, rules and schedules."""

from __future__ import annotations

import json
from typing import Any

from glovebox_local.delivery.schedules import schedule_input, scheduled_event
from glovebox_local.deployer.context import DeployContext, Resource, ResourceKind, arn
from glovebox_local.deployer.intrinsics import Physical
from glovebox_local.errors import UnsupportedError

_NO_TAGS = "nothing reads tags here"
_NOT_ENCRYPTED = "local messages live in memory and are not encrypted"
_NO_IAM = "IAM is not enforced locally"

_QUEUE_ATTRIBUTES = (
    "VisibilityTimeout",
    "MessageRetentionPeriod",
    "DelaySeconds",
    "MaximumMessageSize",
    "ReceiveMessageWaitTimeSeconds",
)
# What delivery.rules knows about a target.
_TARGET_PROPERTIES = frozenset(
    {
        "Arn",
        "Id",
        "Input",
        "InputPath",
        "InputTransformer",
        "RetryPolicy",
        "DeadLetterConfig",
        "RoleArn",
    }
)


def _queue(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "QueueName", 80)
    attributes = {
        key: str(resource.get(key)) for key in _QUEUE_ATTRIBUTES if resource.get(key) is not None
    }
    redrive = resource.get("RedrivePolicy")
    if redrive:
        attributes["RedrivePolicy"] = json.dumps(redrive)
    url = context.call(resource, "sqs", "create_queue", QueueName=name, Attributes=attributes)[
        "QueueUrl"
    ]
    return Physical(url, {"Arn": arn("sqs", name), "QueueName": name, "QueueUrl": url})


def _topic(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "TopicName", 256)
    topic = context.call(resource, "sns", "create_topic", Name=name)["TopicArn"]
    for entry in resource.get("Subscription", []):
        _subscribe(context, resource, topic, entry)
    return Physical(topic, {"TopicArn": topic, "TopicName": name})


def _subscription(context: DeployContext, resource: Resource) -> Physical:
    return Physical(
        _subscribe(context, resource, resource.get("TopicArn"), dict(resource.properties))
    )


def _subscribe(
    context: DeployContext, resource: Resource, topic: str, entry: dict[str, Any]
) -> str:
    attributes: dict[str, str] = {}
    for key in ("FilterPolicy", "FilterPolicyScope", "RawMessageDelivery"):
        value = entry.get(key)
        if value is not None:
            plain = str(value).lower() if isinstance(value, bool) else value
            attributes[key] = plain if isinstance(plain, str) else json.dumps(plain)
    subscribed = context.call(
        resource,
        "sns",
        "subscribe",
        TopicArn=topic,
        Protocol=entry["Protocol"],
        Endpoint=entry["Endpoint"],
        Attributes=attributes,
        ReturnSubscriptionArn=True,
    )
    return str(subscribed["SubscriptionArn"])


def _bus(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "Name", 256)
    created = context.call(resource, "events", "create_event_bus", Name=name)
    return Physical(name, {"Arn": created["EventBusArn"], "Name": name})


def _rule(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "Name", 64)
    bus = resource.get("EventBusName", "default")
    pattern = resource.get("EventPattern")
    expression = resource.get("ScheduleExpression")
    state = resource.get("State", "ENABLED")
    rule = context.call(
        resource,
        "events",
        "put_rule",
        Name=name,
        EventBusName=bus,
        EventPattern=json.dumps(pattern) if pattern else None,
        ScheduleExpression=expression,
        State=state,
    )["RuleArn"]
    targets: list[dict[str, Any]] = resource.get("Targets", [])
    for target in targets:
        _check_target(resource, target)
    if targets:
        context.call(
            resource, "events", "put_targets", Rule=name, EventBusName=bus, Targets=targets
        )
    if expression and state == "ENABLED":
        context.machinery.schedule(
            expression,
            lambda moment: context.machinery.deliver(targets, scheduled_event(rule, moment)),
        )
    return Physical(name, {"Arn": rule})


def _check_target(resource: Resource, target: dict[str, Any]) -> None:
    unknown = set(target) - _TARGET_PROPERTIES
    if unknown:
        names = ", ".join(sorted(unknown))
        msg = f"{resource.logical_id} ({resource.type}): target: unsupported locally: {names}"
        raise UnsupportedError(msg)


def _schedule(context: DeployContext, resource: Resource) -> Physical:
    name = context.name(resource, "Name", 64)
    group = resource.get("GroupName", "default")
    target: dict[str, Any] = resource.get("Target")
    _check_target(resource, target)
    context.call(
        resource,
        "scheduler",
        "create_schedule",
        Name=name,
        GroupName=group,
        ScheduleExpression=resource.get("ScheduleExpression"),
        FlexibleTimeWindow=resource.get("FlexibleTimeWindow"),
        Target=target,
        State=resource.get("State"),
    )
    if resource.get("State", "ENABLED") == "ENABLED":
        sent = {**target, "Input": schedule_input(target)}
        context.machinery.schedule(
            resource.get("ScheduleExpression"),
            lambda _: context.machinery.deliver([sent], {}),
            resource.get("ScheduleExpressionTimezone", "UTC"),
        )
    return Physical(name, {"Arn": arn("scheduler", f"schedule/{group}/{name}")})


KINDS = {
    "AWS::SQS::Queue": ResourceKind(
        _queue,
        frozenset({"QueueName", "RedrivePolicy", *_QUEUE_ATTRIBUTES}),
        {
            "RedriveAllowPolicy": _NO_IAM,
            "SqsManagedSseEnabled": _NOT_ENCRYPTED,
            "KmsMasterKeyId": _NOT_ENCRYPTED,
            "KmsDataKeyReusePeriodSeconds": _NOT_ENCRYPTED,
            "Tags": _NO_TAGS,
        },
    ),
    "AWS::SNS::Topic": ResourceKind(
        _topic,
        frozenset({"TopicName", "Subscription"}),
        {
            "DisplayName": "only e-mail and text messages show it",
            "KmsMasterKeyId": _NOT_ENCRYPTED,
            "SignatureVersion": "local messages are not signed by AWS",
            "TracingConfig": "there is no X-Ray here",
            "Tags": _NO_TAGS,
        },
    ),
    "AWS::SNS::Subscription": ResourceKind(
        _subscription,
        frozenset(
            {
                "TopicArn",
                "Protocol",
                "Endpoint",
                "FilterPolicy",
                "FilterPolicyScope",
                "RawMessageDelivery",
            }
        ),
        {
            "RedrivePolicy": "local deliveries to a subscriber do not get lost on the way",
            "Region": "there is one region here",
        },
    ),
    "AWS::Events::EventBus": ResourceKind(_bus, frozenset({"Name"}), {"Tags": _NO_TAGS}),
    "AWS::Events::Rule": ResourceKind(
        _rule,
        frozenset(
            {"Name", "EventBusName", "EventPattern", "ScheduleExpression", "State", "Targets"}
        ),
        {"Description": "nobody reads it here", "RoleArn": _NO_IAM, "Tags": _NO_TAGS},
    ),
    "AWS::Scheduler::Schedule": ResourceKind(
        _schedule,
        frozenset(
            {
                "Name",
                "GroupName",
                "ScheduleExpression",
                "ScheduleExpressionTimezone",
                "FlexibleTimeWindow",
                "Target",
                "State",
            }
        ),
        {"Description": "nobody reads it here", "KmsKeyArn": _NOT_ENCRYPTED},
    ),
}

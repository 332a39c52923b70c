"""What the linters do not see: who may do what, what is encrypted, what is kept, who may call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack.definitions import (
    ROOT,
    STATE_MACHINE,
    TEMPLATE,
    Json,
    as_list,
    expanded,
    resources,
    template,
)

# (resource, statement) -> why IAM cannot say it more narrowly.
WIDE_STATEMENTS = {
    ("LauncherFunctionRole", "AnswerTokens"): "a task token is not an IAM resource",
    ("SweeperFunctionRole", "AnswerTokens"): "a task token is not an IAM resource",
    ("RunStateMachineRole", "LogDelivery"): "log delivery actions take no resource",
}
# AWS's own policies that SAM attaches: writing logs, polling a queue.
MANAGED_POLICIES = {"AWSLambdaBasicExecutionRole", "AWSLambdaSQSQueueExecutionRole"}

KEY_LIKE = re.compile(
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|(?:hopx|hk|sk|ghp|glpat|xox[bp])[_-](?:live|test|[A-Za-z0-9])[A-Za-z0-9_-]{12,}"
    r"|-----BEGIN"
    r"|eyJ[A-Za-z0-9_-]{20,}"
)


POLICIES = (
    "AWS::IAM::Policy",
    "AWS::SQS::QueuePolicy",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
)


def _allowed() -> Iterator[tuple[str, Json]]:
    """Every statement that grants something, with the resource that carries it."""
    documents = [
        (name, policy["PolicyDocument"])
        for name, role in expanded("AWS::IAM::Role").items()
        for policy in role.get("Policies", [])
    ]
    for kind in POLICIES:
        documents += [(name, policy["PolicyDocument"]) for name, policy in expanded(kind).items()]
    for name, document in documents:
        for statement in as_list(document["Statement"]):
            if statement["Effect"] == "Allow":
                yield name, statement


def test_no_statement_grants_an_open_action() -> None:
    for name, statement in _allowed():
        for action in as_list(statement["Action"]):
            assert re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action), (name, action)


def test_only_named_statements_grant_on_every_resource() -> None:
    wide = {
        (name, statement.get("Sid"))
        for name, statement in _allowed()
        if "*" in as_list(statement.get("Resource", []))
    }
    assert wide == set(WIDE_STATEMENTS)


def test_nothing_is_granted_to_everybody() -> None:
    for name, statement in _allowed():
        assert statement.get("Principal") not in ("*", {"AWS": "*"}), name


def test_every_function_has_its_own_role() -> None:
    functions = expanded("AWS::Lambda::Function")
    roles = {str(function["Role"]) for function in functions.values()}
    assert len(roles) == len(functions)


def test_roles_carry_no_other_managed_policies() -> None:
    for name, role in expanded("AWS::IAM::Role").items():
        for arn in role.get("ManagedPolicyArns", []):
            assert str(arn).rpartition("/")[2].rstrip("'}") in MANAGED_POLICIES, (name, arn)


def test_only_functions_with_sandboxes_may_read_the_key() -> None:
    readers = {
        name
        for name, statement in _allowed()
        if "secretsmanager:GetSecretValue" in as_list(statement["Action"])
    }
    assert readers == {"PlannerFunctionRole", "LauncherFunctionRole", "SweeperFunctionRole"}


def test_only_the_launcher_reads_secrets_of_tests_and_only_below_their_prefix() -> None:
    named = {
        (name, str(resource))
        for name, statement in _allowed()
        if "secretsmanager:GetSecretValue" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
        if resource != {"Ref": "HopxApiKeySecret"}
    }
    [(role, resource)] = named
    assert role == "LauncherFunctionRole"
    assert resource.rstrip("'}").endswith(":secret:${SecretsPrefix}*")


@pytest.mark.parametrize(
    ("prefix", "accepted"),
    [("glovebox/", True), ("team/glovebox/", True)]
    + [
        (prefix, False) for prefix in ("", "/", "glovebox", "Hopx", "a//", "*", "*/", "a/*", "a b/")
    ],
)
def test_the_prefix_of_secrets_cannot_be_opened_to_other_secrets(
    prefix: str, accepted: bool
) -> None:
    """CloudFormation makes names without a slash: the HopX key's is never below a prefix."""
    pattern = template()["Parameters"]["SecretsPrefix"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, prefix)) is accepted


def test_only_launchers_and_who_buries_their_messages_may_answer_task_tokens() -> None:
    answering = {
        name
        for name, statement in _allowed()
        if any(action.startswith("states:SendTask") for action in as_list(statement["Action"]))
    }
    assert answering == {"LauncherFunctionRole", "SweeperFunctionRole"}


def test_no_file_of_the_stack_holds_anything_like_a_key() -> None:
    files = [TEMPLATE, STATE_MACHINE, ROOT / "samconfig.toml", *(ROOT / "events").glob("*.json")]
    for file in files:
        assert not KEY_LIKE.search(file.read_text()), file


def test_the_key_is_never_an_environment_value() -> None:
    key = template()["Parameters"]["HopxApiKey"]
    assert key["NoEcho"] is True
    assert "Default" not in key
    for name, function in expanded("AWS::Lambda::Function").items():
        for variable, value in function["Environment"]["Variables"].items():
            assert value != {"Ref": "HopxApiKey"}, (name, variable)
            if re.search(r"KEY|SECRET|TOKEN|PASSWORD", variable):
                # Names, by which the functions read the values at use.
                names = ({"Ref": "HopxApiKeySecret"}, {"Ref": "SecretsPrefix"})
                assert value in names, (name, variable)


def test_every_route_demands_a_signed_request() -> None:
    [api] = expanded("AWS::ApiGatewayV2::Api").values()
    schemes = api["Body"]["components"]["securitySchemes"]
    assert schemes["AWS_IAM"]["x-amazon-apigateway-authtype"] == "awsSigv4"
    for path, methods in api["Body"]["paths"].items():
        for method, operation in methods.items():
            assert operation["security"] == [{"AWS_IAM": []}], (method, path)


@pytest.mark.parametrize("name", ["ManifestBucket", "DataBucket"])
def test_a_bucket_is_private_encrypted_and_emptied_in_time(name: str) -> None:
    bucket = resources("AWS::S3::Bucket")[name]
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    [lifecycle] = bucket["LifecycleConfiguration"]["Rules"]
    assert lifecycle["ExpirationInDays"] == {"Ref": "RetentionDays"}
    assert lifecycle["Status"] == "Enabled"


def test_these_are_all_the_buckets() -> None:
    assert set(resources("AWS::S3::Bucket")) == {"ManifestBucket", "DataBucket"}


def _guarded(kind: str, target: str) -> set[str]:
    """The resources whose policy refuses every request without TLS."""
    guarded: set[str] = set()
    for policy in resources(kind).values():
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Deny" and statement["Condition"] == {
                "Bool": {"aws:SecureTransport": "false"}
            }:
                assert statement["Principal"] == "*"
                guarded |= {ref["Ref"] for ref in as_list(policy[target])}
    return guarded


@pytest.mark.parametrize(
    ("kind", "policy", "target"),
    [
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket"),
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics"),
    ],
)
def test_nothing_is_reached_without_tls(kind: str, policy: str, target: str) -> None:
    assert _guarded(policy, target) == set(resources(kind))


def test_what_is_stored_is_encrypted() -> None:
    for name, queue in resources("AWS::SQS::Queue").items():
        assert queue["SqsManagedSseEnabled"] is True, name
    for name, topic in resources("AWS::SNS::Topic").items():
        assert topic["KmsMasterKeyId"] == "alias/aws/sns", name
    for name, table in resources("AWS::DynamoDB::Table").items():
        assert table["SSESpecification"] == {"SSEEnabled": True}, name
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_every_log_group_forgets() -> None:
    groups = expanded("AWS::Logs::LogGroup")
    assert groups
    for name, group in groups.items():
        assert group["RetentionInDays"] == {"Ref": "RetentionDays"}, name


def test_every_log_goes_to_a_group_of_ours() -> None:
    groups = expanded("AWS::Logs::LogGroup")
    used = {
        f["LoggingConfig"]["LogGroup"]["Ref"] for f in expanded("AWS::Lambda::Function").values()
    }
    used |= {
        stage["AccessLogSettings"]["DestinationArn"]["Fn::GetAtt"][0]
        for stage in expanded("AWS::ApiGatewayV2::Stage").values()
    }
    for machine in resources("AWS::Serverless::StateMachine").values():
        logging: dict[str, Any] = machine["Logging"]
        assert logging["Level"] == "ERROR"
        assert logging["IncludeExecutionData"] is False, "a child's data holds a task token"
        [destination] = logging["Destinations"]
        used.add(destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0])
    assert used == set(groups)


def test_what_cannot_be_made_again_outlives_a_mistake() -> None:
    for name, resource in template()["Resources"].items():
        if resource["Type"] in ("AWS::S3::Bucket", "AWS::DynamoDB::Table"):
            assert resource["DeletionPolicy"] == "RetainExceptOnCreate", name
            assert resource["UpdateReplacePolicy"] == "Retain", name

"""The template says what each thing is for, in the order an event meets it, and agrees with
the functions' code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from glovebox.domain.keys import NOT_MANIFESTS

from tests.stack.definitions import (
    NOUNS,
    ROOT,
    STATE_MACHINE,
    TEMPLATE,
    expanded,
    logical_id,
    resources,
    state_machine,
    template,
)

BANNERS = {
    "Doors": [
        "ManifestBucket",
        "ManifestBucketPolicy",
        "IntakeFunction",
        "DoorDeadLetterQueue",
        "DoorDeadLetterQueuePolicy",
        "HttpApi",
        "ApiFunction",
    ],
    "Run": [
        "RunsTable",
        "DataBucket",
        "DataBucketPolicy",
        "RunStateMachine",
        "RunStateMachineRole",
        "RunStateMachineMapPolicy",
        "PlannerFunction",
    ],
    "Attempts": [
        "LaunchQueue",
        "LaunchDeadLetterQueue",
        "LaunchQueuePolicy",
        "HopxApiKeySecret",
        "LauncherFunction",
    ],
    "Reports": ["ReducerFunction", "RunTopic", "RunTopicPolicy"],
    "Housekeeping": [
        "SweeperFunction",
        "SweepDeadLetterQueue",
        "SweepDeadLetterQueuePolicy",
        "FunctionLogs",
        "ApiLogs",
        "RunStateMachineLogs",
        "CoreLayer",
        "DepsLayer",
    ],
    "Watching": [
        "LaunchQueueAgeAlarm",
        "LaunchDeadLettersAlarm",
        "DoorDeadLettersAlarm",
        "SweepDeadLettersAlarm",
        "FunctionErrorsAlarm",
        "FunctionThrottlesAlarm",
        "RunsBrokenAlarm",
        "ApiFaultsAlarm",
        "CircuitOpenedAlarm",
        "UndeliveredAlarm",
        "Dashboard",
    ],
}
OUTPUTS = {
    "ApiUrl",
    "ManifestBucketName",
    "DataBucketName",
    "RunTopicArn",
    "RunStateMachineArn",
    "LaunchQueueUrl",
    "RunsTableName",
    "DashboardUrl",
    "FunctionLogsName",
    "DoorDeadLetterQueueUrl",
    "MetricsNamespace",
}
ROUTES = {
    "POST /runs",
    "GET /runs",
    "GET /runs/{run_id}",
    "GET /runs/{run_id}/tests",
    "GET /runs/{run_id}/tests/{key}",
    "GET /runs/{run_id}/report",
    "POST /runs/{run_id}/cancel",
    "POST /runs/{run_id}/rerun",
    "GET /openapi.json",
    "GET /docs",
    "$default",
    "POST /sources",
}
PHYSICAL_NAMES = {
    "BucketName",
    "FunctionName",
    "LayerName",
    "LogGroupName",
    "Name",
    "QueueName",
    "RoleName",
    "StateMachineName",
    "TableName",
    "TopicName",
}


def test_resources_stand_in_the_order_of_the_banners() -> None:
    body = re.split(r"^(?:Resources|Outputs):$", TEMPLATE.read_text(), flags=re.MULTILINE)[1]
    found: dict[str, list[str]] = {}
    for line in body.splitlines():
        if banner := re.match(r"  # -{4} (\w+): ", line):
            found[banner[1]] = []
        elif resource := re.match(r"  (\w+):$", line):
            found[list(found)[-1]].append(resource[1])
    assert list(found.items()) == list(BANNERS.items())


@pytest.mark.parametrize("section", ["Parameters", "Outputs"])
def test_every_parameter_and_output_is_described(section: str) -> None:
    for name, entry in template()[section].items():
        assert re.fullmatch(r"[A-Z].{20,}\.", entry["Description"]), name


def test_every_parameter_is_bounded() -> None:
    bounds = {"AllowedValues", "AllowedPattern", "MinValue", "MinLength"}
    for name, parameter in template()["Parameters"].items():
        assert bounds & set(parameter), name
        assert ("MinValue" in parameter) == ("MaxValue" in parameter), name


def test_only_the_key_must_be_given() -> None:
    needed = [n for n, p in template()["Parameters"].items() if "Default" not in p]
    assert needed == ["HopxApiKey"]


def test_the_application_repository_is_told_what_it_asks_for() -> None:
    told = template()["Metadata"]["AWS::ServerlessRepo::Application"]
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,140}", told["Name"])
    assert len(told["Description"]) <= 256
    assert re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,125}[a-z0-9])?", told["Author"])
    assert all(re.fullmatch(r"[a-zA-Z0-9+-_:/@]{1,127}", label) for label in told["Labels"])
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{told["SemanticVersion"]}"' in project
    assert f'license = "{told["SpdxLicenseId"]}"' in project
    for key in ("LicenseUrl", "ReadmeUrl"):
        assert (ROOT / told[key]).is_file()


def test_the_outputs_are_those_that_the_documents_name() -> None:
    assert set(template()["Outputs"]) == OUTPUTS


def test_nothing_has_a_physical_name() -> None:
    for name, resource in template()["Resources"].items():
        assert not PHYSICAL_NAMES & set(resource.get("Properties", {})), name


def test_every_function_is_a_folder_and_every_folder_a_function() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert folders == set(NOUNS)
    assert set(resources("AWS::Serverless::Function")) == {logical_id(noun) for noun in NOUNS}


@pytest.mark.parametrize("noun", NOUNS)
def test_a_function_has_one_name_everywhere(noun: str) -> None:
    function = resources("AWS::Serverless::Function")[logical_id(noun)]
    assert function["CodeUri"] == f"functions/{noun}/"
    assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == noun


def _aliases(source: Path) -> set[str]:
    """The environment variables that a function's settings are read from."""
    return {
        keyword.value.value
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Field"
        for keyword in node.keywords
        if keyword.arg == "alias"
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, str)
    }


@pytest.mark.parametrize("noun", NOUNS)
def test_a_function_is_given_every_setting_that_it_reads(noun: str) -> None:
    given = expanded("AWS::Lambda::Function")[logical_id(noun)]["Environment"]["Variables"]
    wanted = _aliases(ROOT / "functions" / noun / "app.py")
    assert wanted, "no settings found: does the function still name them by alias?"
    assert wanted <= set(given)


def test_all_functions_run_the_same_runtime_with_both_layers() -> None:
    for name, function in expanded("AWS::Lambda::Function").items():
        assert function["Runtime"] == "python3.13", name
        assert function["Architectures"] == ["x86_64"], name
        assert function["Handler"] == "app.lambda_handler", name
        layers = [layer["Ref"] for layer in function["Layers"]]
        assert [re.sub(r"Layer\w+", "Layer", layer) for layer in layers] == [
            "CoreLayer",
            "DepsLayer",
        ], name


def test_the_api_has_exactly_the_documented_routes() -> None:
    [api] = expanded("AWS::ApiGatewayV2::Api").values()
    found = {
        "$default" if path == "/$default" else f"{method.upper()} {path}"
        for path, methods in api["Body"]["paths"].items()
        for method in methods
    }
    assert found == ROUTES


def test_manifests_reach_intake_through_eventbridge() -> None:
    bucket = resources("AWS::S3::Bucket")["ManifestBucket"]
    assert bucket["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    pattern = expanded("AWS::Events::Rule")["IntakeFunctionManifestDropped"]["EventPattern"]
    assert pattern == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [{"Ref": "ManifestBucket"}]},
            "object": {"key": [{"anything-but": {"suffix": list(NOT_MANIFESTS)}}]},
        },
    }


def test_the_table_has_the_indexes_that_the_ledger_queries() -> None:
    table = resources("AWS::DynamoDB::Table")["RunsTable"]
    indexes = [*table["LocalSecondaryIndexes"], *table["GlobalSecondaryIndexes"]]
    found = {
        index["IndexName"]: (
            [key["AttributeName"] for key in index["KeySchema"]],
            index["Projection"]["ProjectionType"],
        )
        for index in indexes
    }
    assert found == {
        "ByChange": (["pk", "changed_at"], "ALL"),
        "ByState": (["state_pk", "created_at"], "ALL"),
        "ByOwner": (["run_owner", "listed_at"], "ALL"),
        "BySandbox": (["sandbox_id"], "KEYS_ONLY"),
    }
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_the_definition_and_the_template_name_the_same_substitutions() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", STATE_MACHINE.read_text()))
    [machine] = resources("AWS::Serverless::StateMachine").values()
    assert used == set(machine["DefinitionSubstitutions"])
    assert machine["Type"] == "STANDARD"
    assert state_machine()["StartAt"] == "Prepare"

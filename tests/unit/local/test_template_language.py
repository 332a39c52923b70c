"""CloudFormation's language: documents, parameters, expressions, order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from glovebox_local.deployer.context import coerce
from glovebox_local.deployer.deployer import Deployer, in_order
from glovebox_local.deployer.document import read_document
from glovebox_local.deployer.intrinsics import Physical, Resolver
from glovebox_local.deployer.parameters import apply_parameters
from glovebox_local.deployer.sam import translate
from glovebox_local.errors import TemplateError, UnsupportedError


def document(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    return read_document(path)


def resolver(template: dict[str, Any] | None = None, **parameters: Any) -> Resolver:
    made = Resolver(template or {}, parameters, {"AWS::Region": "us-east-1"})
    made.resources["Queue"] = Physical("http://q", {"Arn": "arn:q"})
    return made


def test_short_tags_are_read_as_functions_and_dates_as_words(tmp_path: Path) -> None:
    text = "a: !Ref X\nb: !GetAtt Q.Arn\nc: !Sub ['${v}', {v: !If [C, 1, 2]}]\nV: 2012-10-17\n"
    assert document(tmp_path, text) == {
        "a": {"Ref": "X"},
        "b": {"Fn::GetAtt": ["Q", "Arn"]},
        "c": {"Fn::Sub": ["${v}", {"v": {"Fn::If": ["C", 1, 2]}}]},
        "V": "2012-10-17",
    }


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="'a' is given twice, line 2"):
        document(tmp_path, "a: 1\na: 2\n")


@pytest.mark.parametrize("text", ["- 1", "a: [", "just words"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TemplateError):
        document(tmp_path, text)


def test_parameters_take_their_defaults_and_what_is_given() -> None:
    declared: dict[str, dict[str, Any]] = {
        "A": {"Type": "String", "Default": "x"},
        "N": {"Type": "Number"},
        "L": {"Type": "CommaDelimitedList", "Default": "a, b"},
    }
    assert apply_parameters(declared, {"N": "3"}) == {"A": "x", "N": "3", "L": ["a", "b"]}


def test_every_problem_with_the_parameters_is_named_at_once_and_no_secret_is_shown() -> None:
    declared: dict[str, dict[str, Any]] = {
        "Level": {"Type": "String", "AllowedValues": ["low", "high"]},
        "Count": {"Type": "Number", "MinValue": 1},
        "Key": {"Type": "String", "NoEcho": True, "MinLength": 8},
        "Name": {"Type": "String", "AllowedPattern": "[a-z]+"},
        "Needed": {"Type": "String"},
    }
    given = {"Level": "top", "Count": "0", "Key": "hunter2", "Name": "A1", "Leve": "low"}
    with pytest.raises(TemplateError) as refused:
        apply_parameters(declared, given)
    text = str(refused.value)
    for part in (
        "Leve: the template has no such parameter; did you mean Level?",
        "Level: 'top' is not one of low, high",
        "Count: '0' is less than 1",
        "Key: the value is shorter than 8 characters",
        "Name: 'A1' does not match [a-z]+",
        "Needed: required",
    ):
        assert part in text
    assert "hunter2" not in text


def test_an_unknown_kind_of_parameter_is_refused() -> None:
    declared = {"V": {"Type": "AWS::EC2::VPC::Id", "Default": "vpc-1"}}
    with pytest.raises(UnsupportedError, match="AWS::EC2::VPC::Id"):
        apply_parameters(declared, {})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Ref": "P"}, "p"),
        ({"Ref": "Queue"}, "http://q"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, "arn:q"),
        (
            {"Fn::Sub": "${P}/${Queue.Arn}/${!Literal}/${AWS::Region}"},
            "p/arn:q/${Literal}/us-east-1",
        ),
        ({"Fn::Sub": ["${x}-${P}", {"x": {"Ref": "P"}}]}, "p-p"),
        ({"Fn::Join": ["-", ["a", {"Ref": "P"}, 3]]}, "a-p-3"),
        ({"Fn::Select": [1, {"Fn::Split": [",", "a,b"]}]}, "b"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "P"}, "cpu"]}, 2),
        ({"Fn::If": ["IsP", "yes", "no"]}, "yes"),
        ({"Fn::If": ["Both", "yes", "no"]}, "no"),
        ({"Fn::Base64": "a"}, "YQ=="),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [{"Ref": "AWS::NoValue"}, 1]}, {"b": [1]}),
        ({"Condition": {"StringEquals": {"a": "b"}}}, {"Condition": {"StringEquals": {"a": "b"}}}),
    ],
)
def test_expressions_have_their_documented_values(expression: Any, value: Any) -> None:
    template = {
        "Mappings": {"Sizes": {"p": {"cpu": 2}}},
        "Conditions": {
            "IsP": {"Fn::Equals": [{"Ref": "P"}, "p"]},
            "Both": {"Fn::And": [{"Condition": "IsP"}, {"Fn::Not": [{"Condition": "IsP"}]}]},
        },
    }
    assert resolver(template, P="p").resolve(expression) == value


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({"Ref": "Nobody"}, "Nobody does not exist"),
        ({"Fn::GetAtt": ["Queue", "Colour"]}, "no attribute Colour"),
        ({"Fn::ImportValue": "x"}, "Fn::ImportValue is not supported"),
        ({"Fn::Transform": {}}, "Fn::Transform is not supported"),
        ({"Fn::Select": [5, ["a"]]}, "malformed Fn::Select"),
        ({"Fn::If": ["Unheard", 1, 2]}, "no condition is called Unheard"),
        ("{{resolve:ssm:x}}", "dynamic references"),
    ],
)
def test_what_cannot_be_resolved_is_an_error(expression: Any, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        resolver().resolve(expression)


def test_resources_come_after_what_they_need_and_only_the_taken_branch_counts() -> None:
    resources = {
        "A": {"Properties": {"x": {"Fn::If": ["No", {"Ref": "D"}, {"Fn::Sub": "${B.Arn}"}]}}},
        "B": {"DependsOn": "C"},
        "C": {},
        "D": {"Properties": {"x": {"Ref": "A"}}},
    }
    template = {"Resources": resources, "Conditions": {"No": {"Fn::Equals": ["a", "b"]}}}
    assert in_order(resources, Resolver(template, {}, {})) == ["C", "B", "A", "D"]


def test_a_circle_of_resources_is_refused() -> None:
    resources = {
        "A": {"Properties": {"x": {"Ref": "B"}}},
        "B": {"Properties": {"x": {"Fn::GetAtt": ["A", "Arn"]}}},
    }
    with pytest.raises(TemplateError, match="A -> B -> A"):
        in_order(resources, Resolver({"Resources": resources}, {}, {}))


def deploy(tmp_path: Path, resources: str) -> None:
    """Deploy without an AWS: everything that is refused here is refused before the first call."""
    path = tmp_path / "t.yaml"
    path.write_text(f"Resources:\n{resources}")

    def no_client(service: str) -> Any:
        pytest.fail(f"{service} was called")

    Deployer("s", no_client, None).deploy(path, {})  # type: ignore[arg-type]


def test_unknown_resource_types_and_properties_are_refused_all_at_once(tmp_path: Path) -> None:
    resources = """
  Cluster: {Type: AWS::ECS::Cluster}
  Queue: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true, Tags: []}}
  Bucket: {Type: AWS::S3::Bucket, CreationPolicy: {}}
"""
    with pytest.raises(UnsupportedError) as refused:
        deploy(tmp_path, resources)
    text = str(refused.value)
    assert "Cluster: resource type AWS::ECS::Cluster is not supported" in text
    assert "Queue (AWS::SQS::Queue): unsupported locally: FifoQueue" in text
    assert "Bucket: CreationPolicy is not supported" in text


def test_code_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    resources = "  F: {Type: AWS::Serverless::Function, Properties: {CodeUri: gone}}"
    with pytest.raises(TemplateError, match=r"F: CodeUri 'gone' is not a folder"):
        deploy(tmp_path, resources)


def test_sam_resources_are_expanded_offline_and_their_code_stays_where_it_is(
    tmp_path: Path,
) -> None:
    (tmp_path / "fn").mkdir()
    (tmp_path / "m.json").write_text('{"StartAt": "A", "States": {}}')
    path = tmp_path / "t.yaml"
    path.write_text(
        """
Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: fn, Handler: a.b, Runtime: python3.13}
  M:
    Type: AWS::Serverless::StateMachine
    Properties: {DefinitionUri: m.json, Role: "arn:aws:iam::1:role/r"}
"""
    )
    translated = translate(path, {})
    assert translated.folders == {"F": tmp_path / "fn"}
    kinds = {name: r["Type"] for name, r in translated.template["Resources"].items()}
    assert kinds == {
        "F": "AWS::Lambda::Function",
        "FRole": "AWS::IAM::Role",
        "M": "AWS::StepFunctions::StateMachine",
    }


def test_values_take_the_type_that_the_api_wants() -> None:
    import botocore.session

    client = botocore.session.get_session().create_client("lambda", region_name="us-east-1")
    shape = client.meta.service_model.operation_model("CreateFunction").input_shape
    given = {
        "Timeout": "30",
        "Publish": "true",
        "Environment": {"Variables": {"A": 1, "B": True}},
        "Layers": ["x"],
    }
    assert coerce(given, shape) == {
        "Timeout": 30,
        "Publish": True,
        "Environment": {"Variables": {"A": "1", "B": "true"}},
        "Layers": ["x"],
    }

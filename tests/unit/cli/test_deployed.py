"""A stack in AWS: found by its outputs, spoken to in requests that are signed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from glovebox_cli.deployed import Account, region_of_api, signature
from moto import mock_aws

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import RUN_ID, FakeApi, Heard, a_test, report_of

REGION = "eu-central-1"
KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI", "a-session-token"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


def is_signed(heard: Heard) -> bool:
    """Whether API Gateway would let it in: the signature made again of what came over the wire."""
    headers = {name.lower(): value for name, value in heard.headers.items()}
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None:
        return False
    key, region, service, names, signature = found.groups()
    if {"host", "x-amz-date", "x-amz-security-token"} - set(names.split(";")):
        return False
    request: Any = AWSRequest(
        heard.method,
        f"http://{headers['host']}{heard.path}",
        headers={name: headers[name] for name in names.split(";")},
        data=heard.content,
    )
    request.context["timestamp"] = headers["x-amz-date"]
    signer: Any = SigV4Auth(Credentials(key, SECRET, TOKEN), "execute-api", REGION)
    again = signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )
    return (key, region, service, signature) == (KEY, REGION, "execute-api", again)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """AWS, with credentials and a region as the environment gives them."""
    with mock_aws():
        # After moto, which puts credentials of its own there.
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_PROFILE", "AWS_REGION"):
            monkeypatch.delenv(name, raising=False)
        yield monkeypatch


@pytest.fixture
def stack(aws: pytest.MonkeyPatch, api: FakeApi) -> FakeApi:
    """A stack called glovebox, whose API lets signed requests in only."""
    deploy("glovebox", {"ApiUrl": api.url})
    api.guard = is_signed
    api.finish(report_of(a_test("a")))
    return api


def deploy(name: str, outputs: dict[str, str]) -> None:
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    boto3.client("cloudformation", region_name=REGION).create_stack(
        StackName=name, TemplateBody=json.dumps(template)
    )


def test_a_run_at_a_stack_is_signed_from_end_to_end(
    stack: FakeApi, project: Path, cli: Cli
) -> None:
    ended = cli("run", "--stack", "glovebox")
    assert (ended.code, stack.uploads != []) == (0, True), ended.err
    assert f"glovebox report {RUN_ID} --stack glovebox" in ended.text


def test_every_command_is_signed(stack: FakeApi, cli: Cli) -> None:
    # A key with characters that are escaped in the path, where signatures go wrong.
    odd = "ä b/c%+~"
    stack.tests[odd] = {"suite": "unit", "test_id": odd, "key": odd, "attempts": []}
    stack.attempts = [
        {
            **dict.fromkeys(("duration_seconds", "message", "sandbox_id")),
            "suite": "unit",
            "test_id": odd,
            "key": odd,
            "number": 1,
            "state": "finished",
            "outcome": "failed",
        }
    ]
    for command in (["list"], ["status", RUN_ID], ["report", RUN_ID], ["cancel", RUN_ID]):
        ended = cli(*command, "--stack", "glovebox")
        assert ended.code == 0, ended.err
    assert cli("logs", RUN_ID, odd, "--stack", "glovebox").code == 0
    assert f"/runs/{RUN_ID}/tests/{odd}" in stack.paths("GET")


def test_presigned_addresses_are_not_signed_again(stack: FakeApi, project: Path, cli: Cli) -> None:
    assert cli("run", "--stack", "glovebox").code == 0
    presigned = [h for h in stack.heard if h.path.startswith(("/blob", "/documents/"))]
    assert {heard.method for heard in presigned} == {"PUT", "GET"}
    for heard in presigned:
        assert "authorization" not in {name.lower() for name in heard.headers}


def test_without_a_signature_the_api_says_no(stack: FakeApi, cli: Cli) -> None:
    ended = cli("list", "--api", stack.url)
    assert ended.code == 3
    assert "refuses access" in ended.err


def test_a_region_signs_at_an_address_of_ones_own(stack: FakeApi, cli: Cli) -> None:
    assert cli("list", "--api", stack.url, "--region", REGION).code == 0
    assert cli("list", "--api", stack.url, "--region", "us-east-1").code == 3


def test_an_address_of_api_gateway_names_its_region() -> None:
    address = "https://a1b2.execute-api.eu-central-1.amazonaws.com"
    assert region_of_api(address) == "eu-central-1"
    assert region_of_api(f"{address}.cn/") == "eu-central-1"
    for other in ("http://127.0.0.1:1", f"{address}.evil.example", "https://example.com/#x"):
        assert region_of_api(other) is None


def test_the_address_outweighs_the_environments_region(aws: pytest.MonkeyPatch) -> None:
    address = "https://a1b2.execute-api.us-west-2.amazonaws.com/runs"
    signing = signature(Account(), region_of_api(address))
    assert signing is not None
    request = next(signing.auth_flow(httpx.Request("GET", address)))
    assert "/us-west-2/execute-api/aws4_request" in request.headers["authorization"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--stack", "nobody"], 2, "there is no stack nobody"),
        (["--stack", "other"], 2, "no output ApiUrl"),
        (["--stack", "glovebox", "--region", "us-east-1"], 2, "there is no stack glovebox"),
        (["--stack", "glovebox", "--profile", "nobody"], 2, "nobody"),
        (["--stack", "glovebox", "--local"], 2, "exclude each other"),
        (["--stack", "glovebox", "--api", "http://x"], 2, "exclude each other"),
        (["--local", "--profile", "x"], 2, "--local is this machine"),
    ],
)
def test_what_is_wrong_is_said(
    stack: FakeApi, cli: Cli, args: list[str], code: int, words: str
) -> None:
    deploy("other", {"Nothing": "x"})
    ended = cli("list", *args)
    assert (ended.code, words in ended.err) == (code, True), ended.err


def test_without_credentials_or_a_region_it_says_what_to_do(
    stack: FakeApi, aws: pytest.MonkeyPatch, cli: Cli
) -> None:
    aws.delenv("AWS_DEFAULT_REGION")
    ended = cli("list", "--stack", "glovebox")
    assert (ended.code, "--region" in ended.err) == (2, True), ended.err
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        aws.delenv(name)
    ended = cli("list", "--stack", "glovebox", "--region", REGION)
    assert (ended.code, "aws sso login" in ended.err) == (3, True), ended.err


def test_a_profile_brings_credentials_and_region(
    stack: FakeApi, aws: pytest.MonkeyPatch, cli: Cli, tmp_path: Path
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "DEFAULT_REGION"):
        aws.delenv(f"AWS_{name}")
    (tmp_path / "config").write_text(
        f"[profile ci]\nregion = {REGION}\naws_access_key_id = {KEY}\n"
        f"aws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n"
    )
    ended = cli("status", RUN_ID, "--stack", "glovebox", "--profile", "ci")
    assert ended.code == 0, ended.err

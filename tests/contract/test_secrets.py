"""The secrets of tests: what the fake promises, Secrets Manager keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from glovebox.adapters.secretsmanager_secrets import KEEP_SECONDS, SecretsManagerSecrets
from glovebox.domain.errors import SecretRefused, SecretUnavailable
from glovebox.ports import Secrets
from moto import mock_aws

from tests.fakes import FakeClock, MemorySecrets

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

STORED = {"DB_URL": "postgres://é", "KEY": "-----BEGIN\nline\n"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretsManagerClient]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="us-east-1")
        for name, value in STORED.items():
            client.create_secret(Name=f"glovebox/{name}", SecretString=value)
        client.create_secret(Name="glovebox/BINARY", SecretBinary=b"\0\1")
        client.create_secret(Name="HopxApiKey", SecretString="not for tests")
        yield client


@pytest.fixture(params=["memory", "secretsmanager"])
def secrets(request: pytest.FixtureRequest, client: SecretsManagerClient) -> Secrets:
    if request.param == "memory":
        return MemorySecrets({**STORED, "BINARY": ""})
    return SecretsManagerSecrets(client, "glovebox/", FakeClock())


@pytest.mark.parametrize("name", STORED)
def test_a_secret_is_read_as_it_was_stored(secrets: Secrets, name: str) -> None:
    assert [secrets.value(name) for _ in range(2)] == [STORED[name]] * 2


def test_a_missing_secret_is_named_and_it_is_said_what_to_set(secrets: Secrets) -> None:
    with pytest.raises(SecretRefused, match=r"secret NOPE: .*GLOVEBOX_SECRET_NOPE") as refused:
        secrets.value("NOPE")
    assert refused.value.name == "NOPE"


def test_what_no_environment_variable_can_hold_is_refused(secrets: Secrets) -> None:
    with pytest.raises(SecretRefused, match="BINARY"):
        secrets.value("BINARY")


def test_a_secret_beyond_the_prefix_is_none_of_the_tests(client: SecretsManagerClient) -> None:
    with pytest.raises(SecretRefused, match="glovebox/HopxApiKey"):
        SecretsManagerSecrets(client, "glovebox/", FakeClock()).value("HopxApiKey")


def test_a_rotated_secret_is_noticed_after_a_minute(client: SecretsManagerClient) -> None:
    clock = FakeClock()
    secrets = SecretsManagerSecrets(client, "glovebox/", clock)
    assert secrets.value("DB_URL") == STORED["DB_URL"]
    client.put_secret_value(SecretId="glovebox/DB_URL", SecretString="rotated")
    clock.advance(KEEP_SECONDS - 1)
    assert secrets.value("DB_URL") == STORED["DB_URL"]
    clock.advance(1)
    assert secrets.value("DB_URL") == "rotated"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDeniedException", SecretRefused),
        ("DecryptionFailure", SecretRefused),
        ("InvalidRequestException", SecretRefused),
        ("InternalServiceError", SecretUnavailable),
        ("ThrottlingException", SecretUnavailable),
        ("", SecretUnavailable),
    ],
)
def test_what_the_store_answers_says_whether_another_try_makes_sense(
    client: SecretsManagerClient, code: str, expected: type[Exception]
) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("get_secret_value", service_error_code=code)
        with pytest.raises(expected, match="secret DB_URL"):
            SecretsManagerSecrets(client, "glovebox/", FakeClock()).value("DB_URL")


def test_a_store_that_cannot_be_reached_is_worth_another_try() -> None:
    class Unreachable:
        def __getattr__(self, name: str) -> Callable[..., Any]:
            def call(**_: object) -> None:
                raise EndpointConnectionError(endpoint_url="https://secretsmanager")

            return call

    unreachable: Any = Unreachable()
    with pytest.raises(SecretUnavailable, match="DB_URL"):
        SecretsManagerSecrets(unreachable, "glovebox/", FakeClock()).value("DB_URL")

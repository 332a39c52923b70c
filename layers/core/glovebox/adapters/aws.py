"""boto3 clients, made once a process, with one set of limits."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "max_attempts": 5},
    max_pool_connections=20,
    # Our own calls are typed; checking each again costs a tenth of a small call.
    parameter_validation=False,
    s3={"addressing_style": "path"},
)

for _name in ("boto3", "botocore", "s3transfer", "urllib3"):
    # At DEBUG they log whole answers, values of secrets among them, and signed requests.
    logging.getLogger(_name).setLevel(logging.WARNING)


@cache
def dynamodb() -> DynamoDBClient:
    """The process's DynamoDB client."""
    return boto3.client("dynamodb", config=_CONFIG)


@cache
def s3() -> S3Client:
    """The process's S3 client."""
    return boto3.client("s3", config=_CONFIG)


@cache
def stepfunctions() -> SFNClient:
    """The process's Step Functions client."""
    return boto3.client("stepfunctions", config=_CONFIG)


@cache
def sqs() -> SQSClient:
    """The process's SQS client."""
    return boto3.client("sqs", config=_CONFIG)


@cache
def sns() -> SNSClient:
    """The process's SNS client."""
    return boto3.client("sns", config=_CONFIG)


@cache
def secretsmanager() -> SecretsManagerClient:
    """The process's Secrets Manager client."""
    return boto3.client("secretsmanager", config=_CONFIG)


@cache
def secret(arn: str) -> str:
    """A secret's text, read once a process."""
    return secretsmanager().get_secret_value(SecretId=arn)["SecretString"]

"""The secrets of tests on this machine, in the embedded Secrets Manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from glovebox_local.deployer.deployer import Deployment


def store_secrets(
    client: Callable[[str], Any], deployment: Deployment, secrets: Mapping[str, str]
) -> None:
    """Store each below the stack's prefix; none where its template knows no such thing."""
    prefix = deployment.parameters.get("SecretsPrefix")
    if prefix is not None:
        for name, value in secrets.items():
            client("secretsmanager").create_secret(Name=prefix + name, SecretString=value)

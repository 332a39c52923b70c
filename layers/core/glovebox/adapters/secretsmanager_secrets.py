"""The secrets that manifests may name: those of Secrets Manager below one prefix."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from glovebox.domain.errors import SecretRefused, SecretUnavailable
from glovebox.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

KEEP_SECONDS = 60.0
"""A rotated secret is noticed after a minute; a batch of fifty sandboxes asks once."""
_REFUSALS = {
    "AccessDeniedException": "this installation may not read it",
    "DecryptionFailure": "its encryption key cannot be used",
    "InvalidRequestException": "it is about to be deleted",
}


class SecretsManagerSecrets:
    """Implements `ports.Secrets`. Thread-safe."""

    def __init__(self, client: SecretsManagerClient, prefix: str, clock: Clock) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._read: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def value(self, name: str) -> str:
        """A secret's text, at most a minute old. Raises SecretUnavailable or SecretRefused."""
        with self._lock:
            value, read_at = self._read.get(name, ("", float("-inf")))
            if self._clock.monotonic() - read_at >= KEEP_SECONDS:
                value = self._ask(name)
                self._read[name] = (value, self._clock.monotonic())
            return value

    def _ask(self, name: str) -> str:
        try:
            answer = self._client.get_secret_value(SecretId=self._prefix + name)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "ResourceNotFoundException":
                raise self._missing(name) from None
            if code in _REFUSALS:
                raise SecretRefused(name, f"{_REFUSALS[code]} ({code})") from None
            raise SecretUnavailable(name, f"cannot be read now ({code})") from None
        except BotoCoreError as error:
            raise SecretUnavailable(name, f"cannot be read now ({type(error).__name__})") from None
        value = answer.get("SecretString")
        if not value or "\0" in value:
            raise SecretRefused(name, "it is no text that an environment variable can hold")
        return value

    def _missing(self, name: str) -> SecretRefused:
        words = (
            f"there is none: store it in Secrets Manager as {self._prefix}{name}, or, for a stack "
            f"on this machine, set GLOVEBOX_SECRET_{name} where the stack is started"
        )
        return SecretRefused(name, words)

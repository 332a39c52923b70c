"""The secrets of one batch: read when its first sandbox is wanted, forgotten with the batch."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from glovebox.domain.errors import SecretError
from glovebox.domain.redaction import Redactor
from glovebox.ports import Secrets


class BatchSecrets:
    """What a batch's tests get, and what is kept out of their logs. Thread-safe."""

    def __init__(self, secrets: Secrets, names: Sequence[str]) -> None:
        self._secrets = secrets
        self._names = names
        self._lock = threading.Lock()
        self._values: Mapping[str, str] | None = None
        self._error: SecretError | None = None
        self.redactor = Redactor(())
        """Knows the values once they were read."""

    def values(self) -> Mapping[str, str]:
        """Name to value. Raises SecretError, the same at every call: a batch asks once."""
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._values is None:
                self._values = self._read()
            return self._values

    def _read(self) -> Mapping[str, str]:
        try:
            values = {name: self._secrets.value(name) for name in self._names}
        except SecretError as error:
            self._error = error
            raise
        self.redactor = Redactor(values.values())
        return values

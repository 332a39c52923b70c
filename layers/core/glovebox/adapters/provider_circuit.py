"""A circuit breaker before the provider, with Powertools: whoever is down is left alone a while.

It counts what went wrong for good or for an unknown reason (connection, 5xx, malformed answers).
A provider that says when to come again works, and one that refuses an image does so rightly:
neither counts. The circuit's state is one item of the ledger's own table:

    pk       sk      what
    circuit  <name>  open since when, who probes; written when it changes only

Powertools reads it once in READ_SECONDS a process, never at every call, and counts failures in
the process. A table that does not answer counts as a closed circuit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, cast

from glovebox.domain.errors import SandboxUnavailable
from glovebox.ports import Sandbox, Sandboxes, SandboxFacts, SandboxRequest

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.circuit_breaker import CircuitInfo, CircuitTransition
    from mypy_boto3_dynamodb import DynamoDBClient

OPEN_SECONDS = 30
"""How long nobody asks. Then one asks, alone; if it fails, as long again."""
READ_SECONDS = 20
"""How old a circuit's state, as a process knows it, may be."""
SOON_SECONDS = 5.0
"""When to come again while another probes."""


class _Failure(Exception):
    """A failure that counts; what it was is its cause."""


class GuardedSandboxes:
    """Implements `ports.Sandboxes` over another one: creations fail at once while it is down.

    Killing and attaching are never held back. Thread-safe.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        client: DynamoDBClient,
        table: str,
        failures: int,
        on_change: Callable[[str, str], None],
        name: str = "sandboxes",
    ) -> None:
        """`failures` in a row open the circuit; `on_change` hears of it from one state, and to
        which (CLOSED, OPEN, HALF_OPEN)."""
        self._sandboxes = sandboxes
        self._client, self._table = client, table
        self._failures, self._on_change, self._name = failures, on_change, name

    def create(self, request: SandboxRequest) -> Sandbox:
        """Create a sandbox. Raises SandboxUnavailable with `asked` False while the circuit is
        open; otherwise what the provider's adapter raises."""
        try:
            return self._guarded(request)
        except _Failure as failure:
            if failure.__cause__ is None:
                raise
            raise failure.__cause__ from None

    def attach(self, sandbox_id: str) -> Sandbox:
        """Go on with a sandbox that somebody else created. Raises SandboxLost if it is gone."""
        return self._sandboxes.attach(sandbox_id)

    def kill(self, sandbox_id: str) -> None:
        """End a sandbox; one that is gone already is no error. Raises SandboxUnavailable."""
        self._sandboxes.kill(sandbox_id)

    def list(self) -> Iterator[SandboxFacts]:
        """Every sandbox of the account once, ours and others'."""
        return self._sandboxes.list()

    def _create(self, request: SandboxRequest) -> Sandbox:
        try:
            return self._sandboxes.create(request)
        except SandboxUnavailable as error:
            if error.retry_after_seconds is None:
                raise _Failure from error
            raise

    @cached_property
    def _guarded(self) -> Callable[[SandboxRequest], Sandbox]:
        # Here, since only a process that creates sandboxes needs it.
        from aws_lambda_powertools.utilities.circuit_breaker import (
            CircuitBreakerConfig,
            circuit_breaker,
        )
        from aws_lambda_powertools.utilities.circuit_breaker.persistence import (
            CircuitBreakerDynamoDBPersistence,
        )

        guard = circuit_breaker(
            name=self._name,
            persistence_store=CircuitBreakerDynamoDBPersistence(
                table_name=self._table,
                key_attr="pk",
                static_pk_value="circuit",
                sort_key_attr="sk",
                expiry_attr="expires_at",
                boto3_client=self._client,
            ),
            on_circuit_open=_refuse,
            on_transition=self._tell,
            config=CircuitBreakerConfig(
                failure_threshold=self._failures,
                recovery_timeout=OPEN_SECONDS,
                # A thread probes, and it may not come again: one success must do.
                success_threshold=1,
                handled_exceptions=_Failure,
                local_cache_max_age=READ_SECONDS,
            ),
        )
        return cast("Callable[[SandboxRequest], Sandbox]", guard(self._create))

    def _tell(self, change: CircuitTransition) -> None:
        self._on_change(str(change.from_state), str(change.to_state))


def _refuse(request: SandboxRequest, *, circuit: CircuitInfo) -> Sandbox:
    since = circuit.opened_at if circuit.opened_at is not None else time.time()
    left = min(max(since + OPEN_SECONDS - time.time(), SOON_SECONDS), float(OPEN_SECONDS))
    raise SandboxUnavailable(
        "the provider failed too often in a row and is left alone for a while",
        retry_after_seconds=left,
        asked=False,
    )

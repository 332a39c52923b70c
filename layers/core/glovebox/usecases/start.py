"""Start a run for a caller of the API, once for each idempotency key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from glovebox.domain import keys
from glovebox.domain.errors import GloveboxError
from glovebox.domain.run import Run
from glovebox.ports import Clock, KeptRequest, NewToken, Runs
from glovebox.usecases.accept import AcceptManifest

DOOR = "api"


class KeyReused(GloveboxError):
    """An idempotency key came again with another request."""


@dataclass
class StartRun:
    """The API's way to `AcceptManifest`."""

    accept: AcceptManifest
    runs: Runs
    clock: Clock
    new_token: NewToken

    def __call__(
        self,
        text: str,
        *,
        owner: str,
        idempotency_key: str | None,
        asked: Any,
        rerun_of: str | None = None,
    ) -> Run:
        """Start a run of a manifest, or answer the one that this request has started before.

        `asked` is what the caller asked for, as JSON: with the same key it must be the same.
        Raises ManifestError, which binds no key, and KeyReused; then nothing has started.
        """
        manifest = self.accept.check(text, file="manifest.json", owner=owner)
        run_id = keys.run_id_for_request(self.clock.now(), self.new_token())
        if idempotency_key is not None:
            request = KeptRequest(run_id=run_id, digest=_digest(asked))
            kept = self.runs.keep_request(owner, idempotency_key, request, self.clock.now())
            if kept.digest != request.digest:
                message = "this Idempotency-Key came before, with another request"
                raise KeyReused(message)
            run_id = kept.run_id
        return self.accept.start(manifest, run_id=run_id, door=DOOR, owner=owner, rerun_of=rerun_of)


def _digest(asked: Any) -> str:
    """The same for every spelling of the same JSON."""
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

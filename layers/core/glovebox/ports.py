"""The outside world, as the use cases see it. One adapter and one fake stand behind each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from glovebox.domain.attempt import Attempt
from glovebox.domain.ownership import ImageUse, SandboxOwner
from glovebox.domain.pacing import Demand, Permits
from glovebox.domain.run import Run


@dataclass(frozen=True)
class SandboxRequest:
    """What a sandbox must be."""

    image: str
    network: bool
    ttl_seconds: int
    """When the provider ends it whatever we do."""


@dataclass(frozen=True)
class CommandAnswer:
    """What a command in a sandbox answered. All of it is untrusted."""

    exit_code: int | None
    """None where the provider did not say: never to be read as 0."""
    stdout: str
    stderr: str


@dataclass(frozen=True)
class SandboxFacts:
    """A sandbox as the provider lists it: ours, or anybody's who shares the account."""

    sandbox_id: str
    created_at: float | None
    """Seconds since the epoch; None where the provider does not say."""
    image: str | None


class Sandbox(Protocol):
    """A live sandbox. Every method raises SandboxUnavailable or SandboxLost."""

    @property
    def sandbox_id(self) -> str:
        """The provider's id."""

    def upload(self, path: str, content: bytes) -> None:
        """Write a file."""

    def run(self, command: str, *, env: Mapping[str, str], timeout_seconds: float) -> CommandAnswer:
        """Run a bash command. May be posted more than once: the command must bear it."""

    def download(self, path: str, *, limit: int) -> bytes:
        """Read a file of at most `limit` bytes; a longer one raises SandboxLost."""


class Sandboxes(Protocol):
    """The sandbox provider."""

    def create(self, request: SandboxRequest) -> Sandbox:
        """Create a sandbox and wait until it answers.

        Raises SandboxUnavailable (another try makes sense) or SandboxRefused (it does not).
        """

    def attach(self, sandbox_id: str) -> Sandbox:
        """Go on with a sandbox that somebody else created. Raises SandboxLost if it is gone."""

    def kill(self, sandbox_id: str) -> None:
        """End a sandbox; one that is gone already is no error. Raises SandboxUnavailable."""

    def list(self) -> Iterator[SandboxFacts]:
        """Every sandbox of the account once, ours and others', as many pages as there are.

        Raises SandboxUnavailable or SandboxRefused, also halfway.
        """


class Images(Protocol):
    """The provider's images (HopX says templates)."""

    def bake(self, name: str, base: str, bundle: bytes) -> None:
        """Make an image: `base`, with a bundle (see usecases/source.py) unpacked in /workspace.

        Returns once sandboxes can be made of it; one of this name that exists is taken for it.
        Raises SandboxUnavailable (another try makes sense) or SandboxRefused (it does not).
        """

    def remove(self, name: str) -> None:
        """Forget an image; one that is gone already is no error. Raises SandboxUnavailable."""


class Pace(Protocol):
    """Permits to create sandboxes and places to keep them in, shared by all that create any.

    Every method is one conditional write. Raises StoreConflict where too many write at once.
    """

    def take(self, demand: Demand) -> Permits:
        """Take permits and places, as many as there are."""

    def slow_down(self, *, asked_at: float, retry_after_seconds: float) -> None:
        """Tell everybody of a 429 to a creation that was asked for at `asked_at` (epoch)."""

    def leave(self, owner: str, *, live: int, unused: int, given: Permits | None) -> None:
        """Give back an owner's places but for `live`, and the last `unused` permits of `given`."""


class Claim(StrEnum):
    """What came of claiming a batch."""

    OURS = "ours"
    HELD = "held"
    """Another launcher holds it."""
    DONE = "done"
    """It was driven to its end before."""


@dataclass(frozen=True)
class KeptRequest:
    """What a caller asked for under an idempotency key."""

    run_id: str
    digest: str
    """Of the request: another request with the same key is refused."""


class Runs(Protocol):
    """The ledger: runs, claims and attempts. Every write is conditional where it could race."""

    def create_run(self, run: Run) -> None:
        """Write a new run. Raises StoreConflict if its id exists."""

    def run(self, run_id: str) -> Run:
        """Read a run, consistently. Raises NotFound."""

    def keep_request(
        self, owner: str, idempotency_key: str, request: KeptRequest, at: float
    ) -> KeptRequest:
        """Bind an owner's key to a request at a time (epoch seconds), unless it is bound already.
        Answers the request that it is bound to: the first of all that raced."""

    def update_run(self, run_id: str, **changes: Any) -> Run:
        """Change fields of a run that is not finished. Raises StoreConflict if it is."""

    def request_stop(self, run_id: str, reason: str) -> Run:
        """Note why the run stops launching; the first reason stays. Finished runs are left."""

    def list_runs(
        self, *, limit: int, cursor: str | None, owners: Sequence[str] | None = None
    ) -> tuple[Sequence[Run], str | None]:
        """Runs, newest first, and where to go on: those of some owners, or all there are."""

    def open_runs(self) -> Iterator[Run]:
        """All runs that are not finished."""

    def previous_conclusion(self, run: Run) -> str | None:
        """How the last finished run of that name, other than this one, ended."""

    def note_conclusion(self, run: Run) -> None:
        """Remember a finished run as the last of its name, unless a later one was noted."""

    def claim_batch(
        self, run_id: str, batch_id: str, owner: str, lease_seconds: float, turn: int = 0
    ) -> Claim:
        """Take a batch, if nobody holds it or the holder's lease is over.

        A batch is handed on in turns, counted from 0: a later turn takes it from whoever holds
        it (there is a later turn only when the one before has let go), an earlier one never.
        """

    def release_batch(self, run_id: str, batch_id: str, owner: str) -> None:
        """Let go of a batch that could not be driven now: its message may be delivered again."""

    def finish_batch(self, run_id: str, batch_id: str, owner: str) -> None:
        """Mark a batch as driven to its end."""

    def open_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Write attempts that start now, all or none.

        Raises StoreConflict if one exists, or if the account of their run is being made already:
        none of them is there then, or ever counts.
        """

    def close_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Record outcomes, all or none. Raises StoreConflict if one has an outcome already."""

    def attempts(self, run_id: str) -> Iterator[Attempt]:
        """All attempts of a run, consistently, every page."""

    def attempts_of_test(self, run_id: str, key: str) -> Sequence[Attempt]:
        """The attempts at one test, in order of their number."""

    def attempts_changed_since(
        self, run_id: str, changed_at: float, limit: int
    ) -> Sequence[Attempt]:
        """Attempts written at or after a time (epoch seconds), oldest change first."""

    def note_sandbox(self, run_id: str, sandbox_id: str, until: float) -> None:
        """Remember a sandbox that serves no attempt, and when it must be over (epoch seconds)."""

    def owner_of(self, sandbox_id: str) -> SandboxOwner | None:
        """Whose a sandbox is; None where this ledger does not know it, or not yet."""

    def note_image(self, use: ImageUse) -> None:
        """Remember that a run uses an image of ours."""

    def image_uses_before(self, moment: float) -> Iterator[ImageUse]:
        """The uses noted before a moment (epoch seconds), oldest first."""

    def uses_of_image(self, name: str) -> Sequence[ImageUse]:
        """All uses of an image."""

    def forget_image(self, use: ImageUse) -> None:
        """The run needs the image no more. Said again, it is no error."""

    def note_untold(self, run_id: str, at: float) -> None:
        """Remember, at a time (epoch seconds), that a run's subscribers must be told of its end."""

    def untold(self) -> Iterator[str]:
        """The runs whose subscribers are still to be told, longest first."""

    def note_told(self, run_id: str) -> None:
        """The run's subscribers were told. Told again, it is no error."""


class Artifacts(Protocol):
    """The data bucket."""

    def put(self, key: str, content: bytes, content_type: str) -> None:
        """Write an object, replacing what is there."""

    def put_new(self, key: str, content: bytes, content_type: str) -> bool:
        """Write an object unless there is one; False where there was. A write that went through
        unheard may be told as False."""

    def get(self, key: str, *, limit: int) -> bytes:
        """Read an object of at most `limit` bytes. Raises NotFound; SourceError if longer."""

    def has(self, key: str) -> bool:
        """Whether there is such an object."""

    def download_url(self, key: str, *, expires_in_seconds: int) -> str:
        """A presigned URL that serves the object as an attachment."""

    def upload_url(self, key: str, *, expires_in_seconds: int) -> str:
        """A presigned URL that takes the object by PUT."""

    def uri(self, key: str) -> str:
        """The object as `s3://bucket/key`."""

    def get_uri(self, uri: str, *, limit: int) -> bytes:
        """Read `s3://bucket/key`. Raises NotFound; SourceError if longer or not allowed."""


class Workflow(Protocol):
    """The state machine."""

    def start(self, run_id: str) -> None:
        """Start a run's execution; one that was started before is no error."""

    def is_driven(self, run_id: str) -> bool:
        """Whether the run's execution is under way."""

    def succeed(self, token: str) -> None:
        """Answer a task token. A token that nobody waits for any more is no error."""

    def heartbeat(self, token: str) -> bool:
        """Say that the batch is alive; False where nobody waits for it any more."""


class Secrets(Protocol):
    """The secrets that manifests may name, and no others."""

    def value(self, name: str) -> str:
        """A secret's text, at most a minute old.

        Raises SecretUnavailable (another try makes sense) or SecretRefused (it does not).
        """


class LaunchQueue(Protocol):
    """Where launch messages wait for a launcher."""

    def send(self, body: str, *, delay_seconds: int) -> None:
        """Put a message into the queue; nobody receives it before the delay is over."""


@dataclass(frozen=True)
class DeadLetter:
    """A launch message that failed too often. Its body is anything at all."""

    message_id: str
    body: str
    receipt: str
    """What the queue wants to see when it is removed."""


class DeadLetters(Protocol):
    """The queue where launch messages end that could not be handled."""

    def receive(self) -> Sequence[DeadLetter]:
        """A few letters; none where there is none now. One that is not removed comes back."""

    def remove(self, letter: DeadLetter) -> None:
        """Take a letter out for good."""


class Notices(Protocol):
    """Those who want to hear of finished runs."""

    def publish(self, message: str, attributes: Mapping[str, str]) -> None:
        """Tell them. `attributes` are what they filter by."""


class Clock(Protocol):
    """Time."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


NewToken = Callable[[], str]
"""Makes an unguessable word of 32 hex digits: nonces, owners, keys."""

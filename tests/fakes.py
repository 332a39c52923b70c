"""One fake per port. tests/contract holds each to the same suite as the real thing."""

from __future__ import annotations

import gzip
import itertools
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from glovebox.domain.attempt import Attempt
from glovebox.domain.errors import (
    NotFound,
    SandboxError,
    SandboxLost,
    SandboxRefused,
    SandboxUnavailable,
    SecretRefused,
    SecretUnavailable,
    SourceError,
    StoreConflict,
)
from glovebox.domain.ownership import ImageUse, SandboxOwner
from glovebox.domain.pacing import (
    Demand,
    PaceLimits,
    PaceState,
    Permits,
    leave,
    slow_down,
    take_permits,
)
from glovebox.domain.run import Run
from glovebox.ports import (
    Claim,
    Clock,
    CommandAnswer,
    DeadLetter,
    KeptRequest,
    SandboxFacts,
    SandboxRequest,
)

_PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
_NO_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""A sandbox's pytest has no plugins; the environment of these tests has five, which take most of
a second to load."""
"""With this interpreter's pytest in it."""


class FakeClock:
    """A clock that moves only when somebody sleeps or a test moves it."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now
        self._monotonic = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.time += seconds
        self._monotonic += seconds

    skip = advance


class CrowdClock(FakeClock):
    """One on which many threads can wait at once: waiting takes a moment of real time as well,
    so that nobody runs ahead of the others."""

    def sleep(self, seconds: float) -> None:
        time.sleep(0.001)
        self.advance(min(seconds, 0.05))


class RealClock:
    """The machine's clock, for tests that run processes. Sleeps are short, and the time that was
    to be slept is over all the same."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> float:
        return time.time() + self._skipped

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        slept = min(seconds, 0.01)
        time.sleep(slept)
        self.skip(seconds - slept)

    def skip(self, seconds: float) -> None:
        """Let time pass at once."""
        self._skipped += seconds


class FolderSandbox:
    """A folder in place of a sandbox: commands really run, and nothing is isolated."""

    def __init__(self, sandbox_id: str, folder: Path, image: str) -> None:
        self._sandbox_id = sandbox_id
        self.folder = folder
        self.image = image
        self.created_at = time.time()
        self.dead = False
        self.uploads = 0
        self.commands = 0

    @property
    def sandbox_id(self) -> str:
        return self._sandbox_id

    def _path(self, path: str) -> Path:
        return self.folder / path.removeprefix("/workspace/")

    def _alive(self) -> None:
        if self.dead:
            message = "killed"
            raise SandboxLost(message, sandbox_id=self.sandbox_id)

    def upload(self, path: str, content: bytes) -> None:
        self._alive()
        self.uploads += 1
        self._path(path).write_bytes(content)

    def run(self, command: str, *, env: Mapping[str, str], timeout_seconds: float) -> CommandAnswer:
        self._alive()
        self.commands += 1
        # The scripts name /workspace; in here it is this folder.
        script = command.replace("/workspace", str(self.folder))
        # So do the argument list and the result paths, which were delivered as files.
        script = script.replace(
            "supervise </dev/null",
            f'sed -i "s#/workspace#{self.folder}#g" "$dir/argv" "$dir/results"; '
            "supervise </dev/null",
        )
        own = {name: value.replace("/workspace", str(self.folder)) for name, value in env.items()}
        environment = {"PATH": _PATH, **_NO_PLUGINS, **own, "TMPDIR": str(self.folder)}
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            subprocess.Popen(
                ["bash", "-c", script], stdout=out, stderr=err, env=environment
            ) as process,
        ):
            self._see_to_its_end(process, timeout_seconds)
            self._alive()
            out.seek(0)
            err.seek(0)
            stdout, stderr = out.read().decode(), err.read().decode()
        return CommandAnswer(process.returncode, stdout, stderr)

    def _see_to_its_end(self, process: subprocess.Popen[bytes], timeout_seconds: float) -> None:
        until = time.monotonic() + timeout_seconds
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                return
            if self.dead or time.monotonic() > until:
                root = psutil.Process(process.pid)
                for child in [*root.children(recursive=True), root]:
                    with suppress(psutil.NoSuchProcess):
                        child.kill()

    def download(self, path: str, *, limit: int) -> bytes:
        self._alive()
        try:
            content = self._path(path).read_bytes()
        except FileNotFoundError as error:
            raise SandboxLost(str(error), sandbox_id=self.sandbox_id) from error
        if len(content) > limit:
            message = "too long"
            raise SandboxLost(message, sandbox_id=self.sandbox_id)
        return content


class FolderSandboxes:
    """Hands out folders, and keeps images. `failures` are raised first, one a creation."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = itertools.count(1)
        self.failures: list[SandboxError] = []
        self.live: dict[str, FolderSandbox] = {}
        self.requests: list[SandboxRequest] = []
        self.killed: list[str] = []
        self.images: dict[str, bytes] = {}
        self.gone = False

    def bake(self, name: str, base: str, bundle: bytes) -> None:
        if self.gone:
            message = "connection refused"
            raise SandboxUnavailable(message)
        if base.startswith("no-such"):
            message = f"no image {base}"
            raise SandboxRefused(message)
        self.images[name] = gzip.decompress(bundle) if bundle[:2] == b"\x1f\x8b" else bundle

    def remove(self, name: str) -> None:
        self.images.pop(name, None)

    def create(self, request: SandboxRequest) -> FolderSandbox:
        self.requests.append(request)
        if self.gone:
            message = "connection refused"
            raise SandboxUnavailable(message)
        if self.failures:
            raise self.failures.pop(0)
        sandbox_id = f"sb-{next(self._numbers)}"
        folder = self._root / sandbox_id
        image = self.images.get(request.image)
        if image is None and request.image.startswith("glovebox-"):
            message = f"no image {request.image}"
            raise SandboxRefused(message)
        folder.mkdir(parents=True)
        if image is not None:
            subprocess.run(["tar", "-xi"], input=image, cwd=folder, check=True)
        self.live[sandbox_id] = FolderSandbox(sandbox_id, folder, request.image)
        return self.live[sandbox_id]

    def attach(self, sandbox_id: str) -> FolderSandbox:
        if sandbox_id not in self.live:
            message = "gone"
            raise SandboxLost(message, sandbox_id=sandbox_id)
        return self.live[sandbox_id]

    def list(self) -> Iterator[SandboxFacts]:
        if self.gone:
            message = "connection refused"
            raise SandboxUnavailable(message)
        for sandbox in tuple(self.live.values()):
            yield SandboxFacts(sandbox.sandbox_id, sandbox.created_at, sandbox.image)

    def kill(self, sandbox_id: str) -> None:
        self.killed.append(sandbox_id)
        sandbox = self.live.pop(sandbox_id, None)
        if sandbox is not None:
            sandbox.dead = True
            shutil.rmtree(sandbox.folder, ignore_errors=True)


@dataclass
class _Held:
    owner: str
    turn: int
    lease_ends_at: float
    done: bool = False


class MemoryRuns:
    """The ledger in dictionaries."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}
        self._requests: dict[tuple[str, str], KeptRequest] = {}
        self._attempts: dict[tuple[str, str, int], Attempt] = {}
        self._batches: dict[tuple[str, str], _Held] = {}
        self._names: dict[str, tuple[str, str | None, str | None, float]] = {}
        self._planners_sandboxes: dict[str, SandboxOwner] = {}
        self._untold: dict[str, float] = {}
        self._uses: dict[tuple[str, str], ImageUse] = {}

    def create_run(self, run: Run) -> None:
        with self._lock:
            if run.run_id in self._runs:
                raise StoreConflict(run.run_id)
            self._runs[run.run_id] = run

    def keep_request(
        self, owner: str, idempotency_key: str, request: KeptRequest, at: float
    ) -> KeptRequest:
        with self._lock:
            return self._requests.setdefault((owner, idempotency_key), request)

    def run(self, run_id: str) -> Run:
        try:
            return self._runs[run_id]
        except KeyError:
            raise NotFound(run_id) from None

    def update_run(self, run_id: str, **changes: Any) -> Run:
        with self._lock:
            run = self.run(run_id)
            if run.is_finished:
                raise StoreConflict(run_id)
            self._runs[run_id] = Run.model_validate({**run.model_dump(), **changes})
            return self._runs[run_id]

    def request_stop(self, run_id: str, reason: str) -> Run:
        with self._lock:
            run = self.run(run_id)
            if run.is_finished or run.stop_reason is not None:
                return run
            return self.update_run(run_id, stop_reason=reason)

    def list_runs(
        self, *, limit: int, cursor: str | None, owners: Sequence[str] | None = None
    ) -> tuple[Sequence[Run], str | None]:
        found = [run for run in self._runs.values() if owners is None or run.owner in owners]
        newest = sorted(found, key=lambda run: run.listed_at, reverse=True)
        rest = [run for run in newest if cursor is None or run.listed_at < cursor]
        return rest[:limit], rest[limit - 1].listed_at if len(rest) > limit else None

    def open_runs(self) -> Iterator[Run]:
        return iter([run for run in self._runs.values() if not run.is_finished])

    def previous_conclusion(self, run: Run) -> str | None:
        last_id, conclusion, previous, _ = self._names.get(run.name, ("", None, None, 0.0))
        return previous if last_id == run.run_id else conclusion

    def note_conclusion(self, run: Run) -> None:
        last_id, conclusion, _, finished_at = self._names.get(run.name, ("", None, None, 0.0))
        if last_id != run.run_id and finished_at <= (run.finished_at or 0.0):
            own = run.conclusion.value if run.conclusion else None
            self._names[run.name] = (run.run_id, own, conclusion, run.finished_at or 0.0)

    def claim_batch(
        self, run_id: str, batch_id: str, owner: str, lease_seconds: float, turn: int = 0
    ) -> Claim:
        with self._lock:
            held = self._batches.get((run_id, batch_id))
            if held is not None:
                if held.done:
                    return Claim.DONE
                is_over = held.lease_ends_at < time.time()
                if turn < held.turn or (turn == held.turn and not is_over):
                    return Claim.HELD
            ends_at = time.time() + lease_seconds
            self._batches[run_id, batch_id] = _Held(owner, turn, ends_at)
            return Claim.OURS

    def release_batch(self, run_id: str, batch_id: str, owner: str) -> None:
        with self._lock:
            held = self._batches[run_id, batch_id]
            if held.owner == owner:
                held.lease_ends_at = 0.0

    def finish_batch(self, run_id: str, batch_id: str, owner: str) -> None:
        with self._lock:
            held = self._batches[run_id, batch_id]
            if held.owner == owner:
                held.done = True

    def open_attempts(self, attempts: Sequence[Attempt]) -> None:
        with self._lock:
            if any((a.run_id, a.key, a.number) in self._attempts for a in attempts):
                raise StoreConflict
            run = self._runs.get(attempts[0].run_id)
            if run is not None and run.finished_at is not None:
                raise StoreConflict
            self._attempts.update({(a.run_id, a.key, a.number): a for a in attempts})

    def close_attempts(self, attempts: Sequence[Attempt]) -> None:
        with self._lock:
            for attempt in attempts:
                known = self._attempts.get((attempt.run_id, attempt.key, attempt.number))
                if known is None or known.outcome is not None:
                    raise StoreConflict
            self._attempts.update({(a.run_id, a.key, a.number): a for a in attempts})

    def attempts(self, run_id: str) -> Iterator[Attempt]:
        with self._lock:
            return iter([a for a in self._attempts.values() if a.run_id == run_id])

    def attempts_of_test(self, run_id: str, key: str) -> Sequence[Attempt]:
        return sorted((a for a in self.attempts(run_id) if a.key == key), key=lambda a: a.number)

    def attempts_changed_since(
        self, run_id: str, changed_at: float, limit: int
    ) -> Sequence[Attempt]:
        changed = [a for a in self.attempts(run_id) if a.changed_at >= changed_at]
        return sorted(changed, key=lambda a: a.changed_at)[:limit]

    def note_sandbox(self, run_id: str, sandbox_id: str, until: float) -> None:
        self._planners_sandboxes[sandbox_id] = SandboxOwner(run_id, until=until)

    def owner_of(self, sandbox_id: str) -> SandboxOwner | None:
        for attempt in tuple(self._attempts.values()):
            if attempt.sandbox_id == sandbox_id:
                ended_at = attempt.changed_at if attempt.outcome else None
                return SandboxOwner(attempt.run_id, ended_at=ended_at)
        return self._planners_sandboxes.get(sandbox_id)

    def note_image(self, use: ImageUse) -> None:
        self._uses[use.name, use.run_id] = use

    def image_uses_before(self, moment: float) -> Iterator[ImageUse]:
        oldest_first = sorted(self._uses.values(), key=lambda use: use.at)
        return iter([use for use in oldest_first if use.at < moment])

    def uses_of_image(self, name: str) -> Sequence[ImageUse]:
        return [use for use in self._uses.values() if use.name == name]

    def forget_image(self, use: ImageUse) -> None:
        self._uses.pop((use.name, use.run_id), None)

    def note_untold(self, run_id: str, at: float) -> None:
        self._untold[run_id] = at

    def untold(self) -> Iterator[str]:
        return iter(sorted(self._untold, key=lambda run_id: self._untold[run_id]))

    def note_told(self, run_id: str) -> None:
        self._untold.pop(run_id, None)


class MemoryDeadLetters:
    """A queue that shows a letter until it is removed, and once in each round of receiving."""

    def __init__(self) -> None:
        self.letters: dict[str, DeadLetter] = {}
        self._hidden: set[str] = set()
        self._numbers = itertools.count(1)

    def put(self, body: str) -> str:
        message_id = f"m-{next(self._numbers)}"
        self.letters[message_id] = DeadLetter(message_id, body, f"receipt of {message_id}")
        return message_id

    def come_back(self) -> None:
        """The time is over for which received letters are hidden."""
        self._hidden.clear()

    def receive(self) -> Sequence[DeadLetter]:
        shown = [letter for id_, letter in self.letters.items() if id_ not in self._hidden][:10]
        self._hidden.update(letter.message_id for letter in shown)
        return shown

    def remove(self, letter: DeadLetter) -> None:
        self.letters.pop(letter.message_id, None)


class MemoryNotices:
    """Remembers what was published."""

    def __init__(self) -> None:
        self.published: list[tuple[str, dict[str, str]]] = []

    def publish(self, message: str, attributes: Mapping[str, str]) -> None:
        self.published.append((message, dict(attributes)))


class MemoryLaunchQueue:
    """Keeps what was sent, with its delay."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def send(self, body: str, *, delay_seconds: int) -> None:
        self.sent.append((body, delay_seconds))


class MemoryArtifacts:
    """The data bucket in a dictionary."""

    bucket = "data"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, content: bytes, content_type: str) -> None:
        self.objects[key] = content

    def put_new(self, key: str, content: bytes, content_type: str) -> bool:
        return self.objects.setdefault(key, content) is content

    def get(self, key: str, *, limit: int) -> bytes:
        if key not in self.objects:
            raise NotFound(key)
        if len(self.objects[key]) > limit:
            raise SourceError(key)
        return self.objects[key]

    def has(self, key: str) -> bool:
        return key in self.objects

    def get_uri(self, uri: str, *, limit: int) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket != self.bucket or key not in self.objects:
            raise SourceError(uri)
        return self.get(key, limit=limit)

    def download_url(self, key: str, *, expires_in_seconds: int) -> str:
        return f"https://data/{key}?for={expires_in_seconds}"

    def upload_url(self, key: str, *, expires_in_seconds: int) -> str:
        return f"https://data/{key}?put&for={expires_in_seconds}"

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


class MemoryWorkflow:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.answered: list[str] = []
        self.beats: list[str] = []
        self.driven: set[str] = set()

    def start(self, run_id: str) -> None:
        if run_id not in self.started:
            self.started.append(run_id)
            self.driven.add(run_id)

    def is_driven(self, run_id: str) -> bool:
        return run_id in self.driven

    def succeed(self, token: str) -> None:
        self.answered.append(token)

    def heartbeat(self, token: str) -> bool:
        self.beats.append(token)
        return token not in self.answered


class MemorySecrets:
    """The secrets that manifests may name, in a dictionary."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values = dict(values or {})
        self.down = False
        self.asked: list[str] = []

    def value(self, name: str) -> str:
        self.asked.append(name)
        if self.down:
            raise SecretUnavailable(name, "cannot be read now")
        value = self.values.get(name)
        if value is None:
            raise SecretRefused(name, f"there is none: set GLOVEBOX_SECRET_{name}")
        if not value or "\0" in value:
            raise SecretRefused(name, "no text")
        return value


FREE = PaceLimits(per_minute=100_000, sandboxes=1000)


class MemoryPace:
    """The pace of one process. `calls` counts what would be calls to the table."""

    def __init__(self, limits: PaceLimits = FREE, clock: Clock | None = None) -> None:
        self._lock = threading.Lock()
        self._limits, self._clock = limits, clock or RealClock()
        self.state = PaceState()
        self.calls = 0

    def take(self, demand: Demand) -> Permits:
        with self._lock:
            self.calls += 1
            self.state, permits = take_permits(self.state, self._limits, demand, self._clock.now())
            return permits

    def slow_down(self, *, asked_at: float, retry_after_seconds: float) -> None:
        with self._lock:
            self.calls += 1
            self.state = slow_down(
                self.state,
                self._clock.now(),
                asked_at=asked_at,
                retry_after_seconds=retry_after_seconds,
            )

    def leave(self, owner: str, *, live: int, unused: int, given: Permits | None) -> None:
        with self._lock:
            self.calls += 1
            self.state = leave(
                self.state, self._clock.now(), owner=owner, live=live, unused=unused, given=given
            )


def token_maker() -> Any:
    """Tokens that differ and repeat from test to test."""
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):032x}"

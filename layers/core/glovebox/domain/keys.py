"""Every id and storage key of Glovebox is built here, and nowhere else.

Ids are deterministic where a repeat must meet itself: the same S3 object version, test or
batch always has the same id. Keys never contain a test's own id, which is untrusted text.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

TEST_KEY_LENGTH = 20
"""Hex digits of a test key: 80 bits, so one million tests collide with odds under 1 in 10^12."""


def run_id_for_request(epoch_seconds: float, token: str) -> str:
    """A run id for the API door: readable start time, then a random `token`, so that ids sort
    by time. A request that is repeated finds its id by its key."""
    stamp = datetime.fromtimestamp(epoch_seconds, tz=UTC).strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{token[:12]}"


def request_key(owner: str, idempotency_key: str) -> str:
    """What an owner's idempotency key is kept under: no other owner's key meets it."""
    return hashlib.sha256(f"{owner}\0{idempotency_key}".encode()).hexdigest()


def run_id_for_object(bucket: str, key: str, version: str) -> str:
    """A run id for the S3 door: one per object version, however often S3 tells of it."""
    digest = hashlib.sha256(f"{bucket}\0{key}\0{version}".encode()).hexdigest()
    return f"s3-{digest[:24]}"


REJECTED_SUFFIX = ".rejected.json"
NOT_MANIFESTS = (REJECTED_SUFFIX, ".tar.gz", ".tgz", "/")
"""How keys in the manifest bucket end that start nothing: our own notes, archives that a manifest
may name as its source, and folders as consoles make them. template.yaml says the same."""
MAX_S3_KEY_BYTES = 1024
"""The limit of S3."""


def rejected_key(manifest_key: str) -> str | None:
    """Where the note about a refused manifest lies, beside it; None where S3 takes no such key."""
    key = manifest_key + REJECTED_SUFFIX
    return key if len(key.encode(errors="replace")) <= MAX_S3_KEY_BYTES else None


def test_key(suite: str, test_id: str) -> str:
    """The short, safe name of a test within its run, for keys and URLs."""
    text = f"{suite}\0{test_id}".encode(errors="surrogatepass")
    return hashlib.sha256(text).hexdigest()[:TEST_KEY_LENGTH]


def attempt_id(run_id: str, suite: str, test_id: str, number: int) -> str:
    """`run:suite:test#n`, the attempt's full name in reports and logs."""
    return f"{run_id}:{suite}:{test_id}#{number}"


def batch_id(round_number: int, index: int) -> str:
    """A batch's name within its run: rounds and batches count from 1 and 0."""
    return f"{round_number}-{index:05d}"


def source_prefix(owner: str) -> str:
    """Under what all uploaded sources of an owner lie."""
    return f"sources/{hashlib.sha256(owner.encode()).hexdigest()[:32]}/"


def source_key(owner: str, sha256: str, token: str) -> str:
    """Where an uploaded source archive lies. The random token keeps uploads apart."""
    return f"{source_prefix(owner)}{sha256[:16]}-{token}.tar.gz"


def manifest_key(run_id: str) -> str:
    """The checked manifest of a run, canonical JSON."""
    return f"runs/{run_id}/manifest.json"


def inline_source_key(run_id: str) -> str:
    """The archive made of a manifest's inline files."""
    return f"runs/{run_id}/inline.tar.gz"


def prepared_key(run_id: str) -> str:
    """The source after it was checked, normalised and set up."""
    return f"runs/{run_id}/prepared.tar.gz"


def bundle_key(run_id: str) -> str:
    """What every sandbox of the run is given: prepared source and compiled modules."""
    return f"runs/{run_id}/bundle.tar.gz"


def image_name(base: str, bundle: bytes) -> str:
    """The name of the image that holds a bundle: the same content has the same image."""
    digest = hashlib.sha256(f"{base}\0".encode() + bundle).hexdigest()
    return f"glovebox-{digest[:32]}"


def plan_key(run_id: str) -> str:
    """The plan of a run."""
    return f"runs/{run_id}/plan.json"


def round_key(run_id: str, round_number: int) -> str:
    """Which tests a round attempts."""
    return f"runs/{run_id}/rounds/{round_number}.json"


def round_batches_key(run_id: str, round_number: int) -> str:
    """The array that the state machine's Map reads: one small item a batch."""
    return f"runs/{run_id}/rounds/{round_number}-batches.json"


def batch_key(run_id: str, batch: str) -> str:
    """One batch, whole."""
    return f"runs/{run_id}/batches/{batch}.json"


def log_key(run_id: str, key: str, number: int) -> str:
    """The captured output of an attempt, where it is too long for its row."""
    return f"runs/{run_id}/logs/{key}-{number}.log"


def report_key(run_id: str, file_name: str) -> str:
    """A report document, by its file name (`report.json`, `junit.xml`)."""
    return f"runs/{run_id}/report/{file_name}"


def notice_key(run_id: str) -> str:
    """What subscribers were told of the run's end."""
    return f"runs/{run_id}/notice.json"


def dead_letter_key(message_id: str) -> str:
    """A launch message that nobody could read."""
    return f"dead-letters/{message_id}"

"""Run one process in a sandbox and bring back what it left.

Four round trips a test in the common case: create, upload, run, kill. What is posted may be
posted twice (a proxy or an SDK may repeat it): a lock in the sandbox makes the second harmless.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import math
import re
import shlex
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from glovebox.domain.errors import SandboxLost
from glovebox.domain.evidence import Evidence
from glovebox.frameworks.contract import FOLDER, NONCE, Command, payload
from glovebox.frameworks.json_lines import MAX_RECORD_BYTES
from glovebox.ports import Clock, CommandAnswer, Sandbox

ROOT = "/workspace/.glovebox"
SOURCE_FOLDER = "/workspace/src"
HOME_FOLDER = "/workspace/home"
LOG_LIMIT_BYTES = 256 * 1024
"""Of one process's output: the first and the last half of it are kept."""
FILE_LIMIT_BYTES = MAX_RECORD_BYTES
INLINE_LIMIT_BYTES = 512 * 1024
"""Up to here an answer comes with the command's own; a longer one is fetched as a file."""
ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
"""Of the packed answer: a log, and the result files of one process."""
GRACE_SECONDS = 5
"""Between TERM and KILL at the time limit."""
PATIENCE_SECONDS = 240
"""Longest wait in one request: hosted commands end after 300 s, and networks forget idle
connections after about 350 s. A longer process is asked after again."""
REQUEST_MARGIN_SECONDS = 20
GZIP_MAGIC = b"\x1f\x8b"
DISCARD_BYTES = 8 * 1024 * 1024
_RUNNING = "running"
_SLOT = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class Process:
    """One process to run."""

    slot: str
    """Its folder's name in the sandbox; a sandbox runs one process a slot, ever."""
    command: Command
    nonce: str
    timeout_seconds: float
    env: Mapping[str, str]
    bundle: bytes = b""
    """A tar, gzipped or plain, that is unpacked over /workspace first."""


def run_process(sandbox: Sandbox, process: Process, clock: Clock) -> Evidence:
    """Start the process, wait for its end, unpack what it left.

    Raises SandboxUnavailable before anything ran, SandboxLost once it may have run.
    """
    deliver(sandbox, process)
    evidence = await_process(sandbox, process, clock, Waiting(process.timeout_seconds))
    if evidence is None:
        raise AssertionError  # patience without an end
    return evidence


def deliver(sandbox: Sandbox, process: Process) -> None:
    """Bring into the sandbox what the process needs. Raises SandboxError."""
    sandbox.upload(f"{ROOT}-{process.slot}.tar", process.bundle + _spec_archive(process))


@dataclass(frozen=True)
class Waiting:
    """How a process is waited for."""

    ends_in: float
    """Seconds until it is stopped at the latest."""
    patience: Callable[[], float] = lambda: math.inf
    """Seconds that the caller can wait from now on."""
    may_start: bool = True
    """Whether this call is the one that starts it; else somebody has, and it is asked after."""


def await_process(
    sandbox: Sandbox, process: Process, clock: Clock, waiting: Waiting
) -> Evidence | None:
    """Start a process that was delivered, or go on with it, and wait for its end.

    None where the patience is over and it still runs: anybody can ask again. Raises SandboxLost.
    """
    stops_at = clock.monotonic() + waiting.ends_in + GRACE_SECONDS
    may_start = waiting.may_start
    while True:
        longest = max(1.0, stops_at - clock.monotonic())
        patience = waiting.patience()
        # The whole of a short process in one request. A longer one is started and asked after:
        # hosted commands and quiet connections end by themselves.
        at_once = may_start and longest <= min(PATIENCE_SECONDS, patience)
        wait = 0 if at_once else max(1, int(min(PATIENCE_SECONDS, patience, longest)))
        try:
            answer = sandbox.run(
                _launch_command(process, wait),
                env=process.env,
                timeout_seconds=(wait or longest) + REQUEST_MARGIN_SECONDS,
            )
        except SandboxLost as error:
            if at_once or not error.still_there or clock.monotonic() > stops_at:
                raise  # a short one was asked after until its end by the adapter
            # Only the answer was lost, and the lock bears another question.
            word = _RUNNING
        else:
            word, facts, rest = _read_answer_line(sandbox, answer)
            if word != _RUNNING:
                return _fetch(sandbox, process, word, facts, rest)
        if clock.monotonic() > stops_at + 2 * REQUEST_MARGIN_SECONDS:
            reason = "the process did not end at its time limit"
            raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id)
        if waiting.patience() < 1:
            return None
        # The first call came from somebody else, or was cut off: ask on, now with patience.
        may_start = False


def _read_answer_line(sandbox: Sandbox, answer: CommandAnswer) -> tuple[str, str, str]:
    """The answer's word, its facts, and what follows its first line."""
    line, _, rest = answer.stdout.partition("\n")
    if answer.exit_code != 0 or not line.startswith("glovebox "):
        reason = f"no readable answer from the sandbox (exit code {answer.exit_code})"
        raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id)
    word, _, facts = line.partition(" ")[2].partition(" ")
    return word, facts, rest


def _fetch(sandbox: Sandbox, process: Process, word: str, facts: str, rest: str) -> Evidence:
    if word == "inline":
        plain = process.command.results_are_ascii
        content = rest.encode() if plain else _decode(sandbox, rest)
        return _read_answer(sandbox, process, facts, content)
    if word.startswith("file:"):
        path = f"{ROOT}/{process.slot}/packed"
        content = sandbox.download(path, limit=ANSWER_LIMIT_BYTES)
        if hashlib.sha256(content).hexdigest() != word.removeprefix("file:"):
            reason = "the answer fetched from the sandbox is not the one that it packed"
            raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id)
        return _read_answer(sandbox, process, facts, content)
    reason = f"the process never answered: {word} {facts[:300]}"
    raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id)


def _launch_command(process: Process, patience: int) -> str:
    if not _SLOT.fullmatch(process.slot):
        message = f"not a slot: {process.slot!r}"
        raise ValueError(message)
    settings = {
        "slot": process.slot,
        "upload": f"{ROOT}-{process.slot}.tar",
        "patience": f"{patience:d}",
        "nonce": process.nonce,
        # Whole seconds: the shell compares them with what it measured.
        "timeout": f"{math.ceil(process.timeout_seconds):d}",
        "grace": f"{GRACE_SECONDS:d}",
        "log_limit": f"{LOG_LIMIT_BYTES:d}",
        "file_limit": f"{FILE_LIMIT_BYTES:d}",
        "answer_limit": f"{INLINE_LIMIT_BYTES:d}",
        "discard": f"{len(process.bundle) > DISCARD_BYTES:d}",
        "encode": f"{not process.command.results_are_ascii:d}",
    }
    head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
    return head + payload("launch.sh").decode()


def _spec_archive(process: Process) -> bytes:
    """The process's own folder as a tar. Appended to the bundle: tar reads both."""
    folder = f"{ROOT}/{process.slot}"

    def filled(text: str) -> str:
        return text.replace(FOLDER, folder).replace(NONCE, process.nonce)

    results = [part for name, path in process.command.results.items() for part in (path, name)]
    files = {
        "argv": _nul_separated([filled(element) for element in process.command.argv]),
        "results": _nul_separated([filled(part) for part in results]),
        **process.command.files,
    }
    packed = io.BytesIO()
    # As the bundle is, so must be what follows it: tar reads one compression a file.
    gzipped = process.bundle.startswith(GZIP_MAGIC)
    with tarfile.open(fileobj=packed, mode="w:gz" if gzipped else "w:") as archive:
        source = tarfile.TarInfo("src")
        source.type, source.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(source)
        source.name = "home"
        archive.addfile(source)
        for name, content in files.items():
            member = tarfile.TarInfo(f".glovebox/{process.slot}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _nul_separated(parts: list[str]) -> bytes:
    return b"".join(part.encode(errors="surrogateescape") + b"\0" for part in parts)


def _decode(sandbox: Sandbox, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        reason = "the answer from the sandbox is cut or garbled"
        raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id) from error


def _read_answer(sandbox: Sandbox, process: Process, facts: str, content: bytes) -> Evidence:
    """The evidence in an answer: one line of facts, then the files one after another."""
    nonce, code, timed_out, seconds, log_bytes, listed = _read_facts(facts)
    files: dict[str, bytes] = {}
    offset = 0
    for name, size in listed:
        if name not in {"log", *process.command.results} or name in files:
            reason = "the answer from the sandbox holds what was not asked for"
            raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id)
        files[name] = content[offset : offset + size]
        offset += size
    # More is no fault: the log comes last, and a process that survives goes on writing it.
    if offset > len(content):
        reason = "the answer from the sandbox is cut"
        raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id)
    log = files.pop("log", b"")
    return Evidence(
        nonce=nonce,
        exit_code=code,
        timed_out=timed_out,
        duration_seconds=seconds,
        log=log,
        log_bytes=max(log_bytes, len(log)),
        log_truncated=log_bytes > LOG_LIMIT_BYTES,
        files=files,
    )


def _read_facts(
    facts: str,
) -> tuple[str | None, int | None, bool, float | None, int, list[tuple[str, int]]]:
    """Nonce, exit code, whether timed out, duration, log size, files. Malformed means unknown,
    and what is unknown proves nothing."""
    try:
        nonce, code, timed_out, began, ended, log_bytes, *files = facts.split()
        # Sandboxes of some locales write a decimal comma.
        seconds = float(ended.replace(",", ".")) - float(began.replace(",", "."))
        # "!name:0" is a file that was too long to bring: as good as not there.
        pairs = [file.rsplit(":", 1) for file in files if not file.startswith("!")]
        listed = [(name, int(size)) for name, size in pairs]
        if any(size < 0 for _, size in listed):
            raise ValueError
        return nonce, int(code), timed_out != "0", max(0.0, seconds), int(log_bytes), listed
    except ValueError:
        return None, None, False, None, 0, []

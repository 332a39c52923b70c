"""Run one process in a sandbox and bring back what it left.

Four round trips a test in the common case: create, upload, run, kill. What is posted may be
posted twice (a proxy or an SDK may repeat it): a lock in the sandbox makes the second harmless.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import shlex
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from glovebox.domain.errors import SandboxLost
from glovebox.domain.evidence import Evidence
from glovebox.frameworks.contract import FOLDER, NONCE, Command, payload
from glovebox.frameworks.json_lines import MAX_RECORD_BYTES
from glovebox.ports import Clock, Sandbox

ROOT = "/workspace/.glovebox"
SOURCE_FOLDER = "/workspace/src"
HOME_FOLDER = "/workspace/home"
LOG_LIMIT_BYTES = 256 * 1024
"""Of one process's output: the first and the last half of it are kept."""
FILE_LIMIT_BYTES = MAX_RECORD_BYTES
ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
"""Of the packed answer: a log, and the result files of one process."""
GRACE_SECONDS = 5
"""Between TERM and KILL at the time limit."""
PATIENCE_SECONDS = 240
"""Longest wait in one request: hosted commands end after 300 s, and networks forget idle
connections after about 350 s. A longer process is asked after again."""
REQUEST_MARGIN_SECONDS = 20
_SLOT = re.compile(r"[a-z][a-z0-9-]{0,30}")
_MAX_MEMBERS = 20


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
    """A gzipped tar that is unpacked over /workspace first."""


def run_process(sandbox: Sandbox, process: Process, clock: Clock) -> Evidence:
    """Start the process, wait for its end, unpack what it left.

    Raises SandboxUnavailable before anything ran, SandboxLost once it may have run.
    """
    upload = f"{ROOT}-{process.slot}.tar.gz"
    sandbox.upload(upload, process.bundle + _spec_archive(process))
    return await_process(sandbox, process, clock)


def await_process(sandbox: Sandbox, process: Process, clock: Clock) -> Evidence:
    """Wait for a process that was started by `run_process`, here or by somebody else."""
    longest = process.timeout_seconds + GRACE_SECONDS
    patience = 0 if longest <= PATIENCE_SECONDS else PATIENCE_SECONDS
    command = _launch_command(process, patience)
    give_up_at = clock.monotonic() + longest + 2 * REQUEST_MARGIN_SECONDS
    while True:
        answer = sandbox.run(
            command,
            env=process.env,
            timeout_seconds=(patience or longest) + REQUEST_MARGIN_SECONDS,
        )
        word, _, rest = answer.stdout.partition("\n")
        if answer.exit_code != 0 or not word.startswith("glovebox "):
            reason = f"no readable answer from the sandbox (exit code {answer.exit_code})"
            raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id)
        if word == "glovebox inline":
            return _read_answer(sandbox, process, _decode(sandbox, rest))
        if word.startswith("glovebox file "):
            path = f"{ROOT}/{process.slot}/packed"
            content = sandbox.download(path, limit=ANSWER_LIMIT_BYTES)
            return _read_answer(sandbox, process, content)
        if word != "glovebox running" or clock.monotonic() > give_up_at:
            reason = f"the process never answered: {word[:200]}"
            raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id)
        # The first call came from somebody else, or was cut off: ask on, now with patience.
        command = _launch_command(process, PATIENCE_SECONDS)


def _launch_command(process: Process, patience: int) -> str:
    if not _SLOT.fullmatch(process.slot):
        message = f"not a slot: {process.slot!r}"
        raise ValueError(message)
    head = (
        f"slot={process.slot}\n"
        f"upload={shlex.quote(f'{ROOT}-{process.slot}.tar.gz')}\n"
        f"patience={patience:d}\n"
    )
    return head + payload("launch.sh").decode()


def _spec_archive(process: Process) -> bytes:
    """The process's own folder as a gzipped tar. Appended to the bundle: tar reads both."""
    folder = f"{ROOT}/{process.slot}"

    def filled(text: str) -> str:
        return text.replace(FOLDER, folder).replace(NONCE, process.nonce)

    settings = (
        f"nonce={shlex.quote(process.nonce)}\n"
        f"timeout={process.timeout_seconds:.3f}\n"
        f"grace={GRACE_SECONDS:d}\n"
        f"log_limit={LOG_LIMIT_BYTES:d}\n"
        f"file_limit={FILE_LIMIT_BYTES:d}\n"
    )
    results = [part for name, path in process.command.results.items() for part in (path, name)]
    files = {
        "supervise.sh": payload("supervise.sh"),
        "settings": settings.encode(),
        "argv": _nul_separated([filled(element) for element in process.command.argv]),
        "results": _nul_separated([filled(part) for part in results]),
        **process.command.files,
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
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


def _read_answer(sandbox: Sandbox, process: Process, content: bytes) -> Evidence:
    try:
        members = _unpack(content, {"code", "log", *process.command.results})
    except (tarfile.TarError, ValueError, EOFError) as error:
        reason = f"the answer from the sandbox is malformed: {error}"
        raise SandboxLost(reason, sandbox_id=sandbox.sandbox_id) from error
    fields = members.pop("code", b"").decode(errors="replace").split()
    log = members.pop("log", b"")
    nonce, code, timed_out, seconds, log_bytes = _read_code(fields, len(log))
    return Evidence(
        nonce=nonce,
        exit_code=code,
        timed_out=timed_out,
        duration_seconds=seconds,
        log=log,
        log_bytes=log_bytes,
        log_truncated=log_bytes > LOG_LIMIT_BYTES,
        files=members,
    )


def _unpack(content: bytes, wanted: set[str]) -> dict[str, bytes]:
    """The wanted members: regular files, each once. Anything else in there is an attack."""
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for count, member in enumerate(archive):
            if count >= _MAX_MEMBERS or member.name not in wanted or member.name in members:
                message = "it holds what was not asked for"
                raise ValueError(message)
            file = archive.extractfile(member) if member.isreg() else None
            if file is None or member.sparse is not None:
                message = "it holds something that is no plain file"
                raise ValueError(message)
            members[member.name] = file.read()
    return members


def _read_code(
    fields: list[str], kept: int
) -> tuple[str | None, int | None, bool, float | None, int]:
    """Nonce, exit code, whether timed out, duration, log size. Malformed means unknown."""
    try:
        nonce, code, timed_out, started, ended, log_bytes = fields
        # Sandboxes of some locales write a decimal comma.
        seconds = float(ended.replace(",", ".")) - float(started.replace(",", "."))
        return nonce, int(code), timed_out != "0", max(0.0, seconds), max(kept, int(log_bytes))
    except ValueError:
        return None, None, False, None, kept

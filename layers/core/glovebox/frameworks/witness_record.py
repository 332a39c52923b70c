"""What the records of all witnesses have in common: lines that carry a nonce, and a last one.

A record is JSON lines, each with `kind` and `nonce`; the last one is `end` with the framework's
exit code. All of it was written in a sandbox and is untrusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glovebox.domain.errors import DiscoveryError
from glovebox.domain.evidence import Evidence
from glovebox.domain.manifest import Suite
from glovebox.frameworks.json_lines import read_lines

RECORD = "record.jsonl"
MAX_LINE_NUMBER = 10**9


def listed_lines(
    suite: Suite, evidence: Evidence, nonce: str, framework: str
) -> list[dict[str, object]]:
    """The lines of a list of tests. Raises DiscoveryError where they prove nothing."""
    log = evidence.log.decode(errors="replace")
    try:
        lines = list(read_lines(evidence.files.get(RECORD, b"")))
    except ValueError as error:
        raise DiscoveryError(suite.name, str(error), log) from error
    if evidence.nonce != nonce or any(line.get("nonce") != nonce for line in lines):
        raise DiscoveryError(suite.name, "the list of tests does not carry its nonce", log)
    if not lines or lines[-1].get("kind") != "end":
        code = evidence.exit_code
        reason = f"{framework} ended before it had listed the tests (exit code {code})"
        raise DiscoveryError(suite.name, reason, log)
    if lines[-1].get("exit_code") != evidence.exit_code:
        reason = f"{framework}'s exit code is not the process's"
        raise DiscoveryError(suite.name, reason, log)
    return lines


def record_lines(content: bytes) -> tuple[list[dict[str, object]], str | None]:
    """The lines of a record up to the first that cannot be read, and what is wrong with that."""
    lines: list[dict[str, object]] = []
    try:
        lines.extend(read_lines(content))
    except ValueError as error:
        return lines, str(error)
    return lines, None


def common_nonce(lines: Sequence[Mapping[str, object]]) -> str | None:
    """The nonce that every line carries; None where they differ, or carry none."""
    nonces = [line.get("nonce") for line in lines]
    nonce = nonces[0] if nonces and all(other == nonces[0] for other in nonces) else None
    return nonce if isinstance(nonce, str) else None


def end_code(lines: Sequence[Mapping[str, object]]) -> int | None:
    """The exit code in the closing line; None where the record is not closed."""
    last = lines[-1] if lines else {}
    code = last.get("exit_code")
    return code if last.get("kind") == "end" and type(code) is int else None


def seconds(value: object) -> float | None:
    """A number, or None for what is none or is too large to be a duration."""
    if not isinstance(value, (int, float)) or not abs(value) < 10**9:
        return None
    return float(value)


def line_number(value: object) -> int | None:
    """A line's number, counted from 1; None for anything else."""
    return value if type(value) is int and 0 < value < MAX_LINE_NUMBER else None

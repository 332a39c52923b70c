"""Reads the JSON-lines record that a witness in a sandbox wrote. The text is untrusted."""

from __future__ import annotations

import json
from collections.abc import Iterator

MAX_RECORD_BYTES = 5 * 1024 * 1024
"""A longer record is refused: 5 MiB hold some twenty thousand results."""
MAX_LINE_BYTES = 64 * 1024


def read_lines(content: bytes) -> Iterator[dict[str, object]]:
    """Yield every line that is a JSON object; a cut last line ends the record quietly.

    Raises ValueError for a record that is too long or has a malformed line in its midst.
    """
    if len(content) > MAX_RECORD_BYTES:
        message = f"the result file is longer than {MAX_RECORD_BYTES} bytes"
        raise ValueError(message)
    *lines, rest = content.split(b"\n")
    for line in lines:
        yield _read_line(line)
    if rest.strip():
        message = "the result file ends in the middle of a line"
        raise ValueError(message)


def _read_line(line: bytes) -> dict[str, object]:
    if len(line) > MAX_LINE_BYTES:
        message = f"a line of the result file is longer than {MAX_LINE_BYTES} bytes"
        raise ValueError(message)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        message = "a line of the result file is not JSON"
        raise ValueError(message) from error
    if not isinstance(value, dict):
        message = "a line of the result file is not a JSON object"
        raise ValueError(message)
    return {name: _storable(fact) for name, fact in value.items()}


def _storable(fact: object) -> object:
    """Half of a surrogate pair, which JSON can spell and UTF-8 cannot, is written as an escape:
    no row and no report could hold it."""
    if isinstance(fact, str) and not fact.isascii():
        return fact.encode(errors="backslashreplace").decode()
    return fact

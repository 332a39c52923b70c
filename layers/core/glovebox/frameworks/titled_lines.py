"""The file and the titles in a line of a record. The line is untrusted."""

from __future__ import annotations

from collections.abc import Mapping


def file_and_titles(line: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    """What a line names, as text whatever it holds."""
    titles = line.get("titles")
    parts = titles if isinstance(titles, list) else []
    return storable(str(line.get("file"))), tuple(storable(str(part)) for part in parts)


def storable(text: str) -> str:
    """Half of a surrogate pair, which JSON can spell and UTF-8 cannot, is written as an escape."""
    return text.encode(errors="backslashreplace").decode()

"""The table of docs/local.md that owns up to every answer which the vendor's files do not promise.

A row names the API (control or agent), a method or ``any``, a path of the API (``{id}`` for one
segment of any content, a ``*`` at the end for anything more), the statuses, and why. A path that
the files do not have at all is listed with the statuses that it answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conformance.descriptions import Api, Description

DOCUMENT = Path(__file__).parents[2] / "docs" / "local.md"
_REFUSED = (404, 405)
_NOT_THERE = (501, 503)
_HEADER = ("API", "method", "path", "status", "why")


@dataclass(frozen=True)
class Deviation:
    """One row."""

    api: str
    method: str
    path: str
    statuses: frozenset[int]
    why: str

    def covers(self, api: Api, method: str, path: str, status: int) -> bool:
        """Whether this row owns up to an answer."""
        return (
            api == self.api
            and self.method in ("any", method)
            and status in self.statuses
            and _pattern(self.path).fullmatch(path) is not None
        )

    def __str__(self) -> str:
        statuses = ", ".join(str(status) for status in sorted(self.statuses))
        return f"{self.api} {self.method} {self.path} {statuses}"


@cache
def table() -> list[Deviation]:
    """The rows of the table. Raises ``ValueError`` for a table that is missing or malformed."""
    rows: list[Deviation] | None = None
    for line in DOCUMENT.read_text().splitlines():
        cells = tuple(cell.strip().strip("`") for cell in line.strip().strip("|").split("|"))
        if cells == _HEADER:
            rows = []
        elif rows is not None and not line.startswith("|"):
            return rows
        elif rows is not None and set(line) - set("|- "):
            rows.append(_row(cells))
    if rows is None:
        raise ValueError(f"{DOCUMENT} has no table with the header {' | '.join(_HEADER)}")
    return rows


def _row(cells: tuple[str, ...]) -> Deviation:
    if len(cells) != len(_HEADER):
        raise ValueError(f"a row of the deviations has {len(cells)} cells: {' | '.join(cells)}")
    api, method, path, statuses, why = cells
    if api not in ("control", "agent") or not path.startswith("/") or not why:
        raise ValueError(f"a row of the deviations is malformed: {' | '.join(cells)}")
    numbers = frozenset(int(status) for status in statuses.split(", "))
    return Deviation(api, method, path, numbers, why)


def complaint(
    description: Description, rows: list[Deviation], method: str, path: str, status: int
) -> str | None:
    """What is wrong with an answer: None if it is promised, or listed in the table.

    A method that the file does not have for a path of its own may always be refused.
    """
    if any(row.covers(description.api, method, path, status) for row in rows):
        return None
    promised = description.promised(method, path)
    if promised is not None and status in promised and not _failed(status):
        return None
    if promised is None and description.has(path) and status in _REFUSED:
        return None
    said = f"promises {sorted(promised)}" if promised else "has no such operation"
    return (
        f"{method} {path} answered {status}: the vendor's file of the {description.api} API "
        f"{said}, and docs/local.md does not list it"
    )


def _failed(status: int) -> bool:
    """Whether it is a failure of the server's own: not one that says what it does not have."""
    return status >= 500 and status not in _NOT_THERE


@cache
def _pattern(path: str) -> re.Pattern[str]:
    segments = re.sub(r"\\\{\w+\\\}", "[^/]*", re.escape(path))
    return re.compile(re.sub(r"\\\*$", ".*", segments), re.DOTALL)

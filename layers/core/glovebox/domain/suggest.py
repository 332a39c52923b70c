"""The word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_CUTOFF = 0.65  # `retry` finds `retries` (0.67), `jest` does not find `pytest` (0.6)
_LONGEST_WORD = 60  # characters; comparing is quadratic in the length


def closest(word: str, options: Iterable[str]) -> str | None:
    """Return the option most like `word`, or None where none is alike."""
    if len(word) > _LONGEST_WORD:
        return None
    by_folded = {_folded(option): option for option in options}
    matches = get_close_matches(_folded(word), by_folded, n=1, cutoff=_CUTOFF)
    return by_folded[matches[0]] if matches else None


def _folded(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "").replace(" ", "")

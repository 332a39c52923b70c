"""The files of images by what they were built from, within a bound for all of them together."""

from __future__ import annotations

from glovebox_local.sandbox.images.layers import Content


class Store:
    """Contents that images use. What no image uses any more is gone from here as well."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._known: dict[str, Content] = {}
        self._replaced: list[Content] = []
        self._reserved = 0

    def find(self, key: str) -> Content | None:
        """What was built from the same things before."""
        self._forget_closed()
        return self._known.get(key)

    def reserve(self, wanted_bytes: int) -> int:
        """Set aside room for a build: as much as wanted, or what can be had, 0 if nothing."""
        self._forget_closed()
        taken = sum(c.size_bytes for c in (*self._known.values(), *self._replaced))
        granted = max(0, min(wanted_bytes, self._max_bytes - self._reserved - taken))
        self._reserved += granted
        return granted

    def unreserve(self, granted_bytes: int) -> None:
        """The build is over."""
        self._reserved -= granted_bytes

    def add(self, content: Content) -> None:
        """Keep what a build made; from now on it is what its key stands for."""
        if content.key in self._known:
            self._replaced.append(self._known[content.key])
        self._known[content.key] = content

    def _forget_closed(self) -> None:
        self._known = {key: c for key, c in self._known.items() if not c.closed}
        self._replaced = [c for c in self._replaced if not c.closed]

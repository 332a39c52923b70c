"""The files of images by what they were built from, within a bound; the unused make room."""

from __future__ import annotations

from dataclasses import dataclass, field

from glovebox_local.sandbox.images.layers import Content

_MAX_CONTENTS = 128


@dataclass(slots=True, eq=False)
class Store:
    """The contents that exist, by key, the least recently used first."""

    max_bytes: int
    _known: dict[str, Content] = field(default_factory=dict)
    _reserved: int = 0

    def find(self, key: str) -> Content | None:
        """What was built from the same things before."""
        content = self._known.pop(key, None)
        if content is not None:
            self._known[key] = content
        return content

    def reserve(self, wanted_bytes: int) -> int:
        """Set aside room for a build: as much as wanted, or what can be had, 0 if nothing.

        Contents that no image uses any more make room.
        """
        for key, content in list(self._known.items()):
            if self._free() >= wanted_bytes:
                break
            if content.users == 0:
                self._known.pop(key).close()
        granted = max(0, min(wanted_bytes, self._free()))
        self._reserved += granted
        return granted

    def unreserve(self, granted_bytes: int) -> None:
        """The build is over."""
        self._reserved -= granted_bytes

    def add(self, content: Content) -> None:
        """Keep what a build made."""
        previous = self._known.pop(content.key, None)
        if previous is not None and previous.users == 0:
            previous.close()
        self._known[content.key] = content
        unused = (c.key for c in list(self._known.values()) if c.users == 0 and c is not content)
        while len(self._known) > _MAX_CONTENTS and (key := next(unused, "")):
            self._known.pop(key).close()

    def _free(self) -> int:
        return self.max_bytes - self._reserved - sum(c.size_bytes for c in self._known.values())

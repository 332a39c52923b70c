"""Remove images of ours that no run needs any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from glovebox.domain.errors import NotFound, SandboxError
from glovebox.domain.ownership import ImageUse
from glovebox.ports import Clock, Images, Runs

KEEP_SECONDS = 24 * 3600
"""How long an image is kept after its last use: the same source may come again."""
IMAGE_SECONDS = 75
"""Kept back for an image: the provider may take a minute to refuse its removal."""


@dataclass
class ImagesSwept:
    """What a sweep did about images."""

    removed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Images that could not be removed, and why: the next sweep tries again."""
    complete: bool = True
    """False where the time was over before every old image was looked at."""


@dataclass
class SweepImages:
    """The last net under images: only those that the ledger knows, by their names' digests."""

    images: Images
    runs: Runs
    clock: Clock

    def __call__(self, seconds_left: Callable[[], float]) -> ImagesSwept:
        """Sweep, at most for the seconds left."""
        swept = ImagesSwept()
        old = self.clock.now() - KEEP_SECONDS
        for name in dict.fromkeys(use.name for use in self.runs.image_uses_before(old)):
            if seconds_left() < IMAGE_SECONDS:
                swept.complete = False
                break
            self._look_at(name, old, swept)
        return swept

    def _look_at(self, name: str, old: float, swept: ImagesSwept) -> None:
        uses = self.runs.uses_of_image(name)
        over = [use for use in uses if use.at < old and not self._is_open(use)]
        if len(over) == len(uses):
            # A run that begins to use it this very moment does without: it is a saving only.
            try:
                self.images.remove(name)
            except SandboxError as error:
                swept.failed[name] = error.reason
                return
            swept.removed.append(name)
        for use in over:
            self.runs.forget_image(use)

    def _is_open(self, use: ImageUse) -> bool:
        try:
            return not self.runs.run(use.run_id).is_finished
        except NotFound:
            return False

"""The images that sandboxes are made from (HopX says template): the vendor's two public ones.

Both are this machine's own system with this interpreter; baking further ones is later work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from glovebox_local.sandbox.settings import SandboxSettings


@dataclass(frozen=True, slots=True)
class Image:
    """One image by its id, its name, and what people read."""

    id: str
    name: str
    display_name: str
    description: str


_BUILT_IN = (
    Image("1", "base", "Base", "The host's system, read-only, and a Python."),
    Image("2", "code-interpreter", "Code interpreter", "As base; the vendor's default."),
)


class Images:
    """Every image that a sandbox can be made from."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._by_name = {image.name: image for image in _BUILT_IN}

    def all(self) -> Iterable[Image]:
        """Every image, in a stable order."""
        return self._by_name.values()

    def find(self, name_or_id: str) -> Image | None:
        """By name or by id."""
        by_id = (image for image in self._by_name.values() if image.id == name_or_id)
        return self._by_name.get(name_or_id) or next(by_id, None)

    def describe(self, image: Image) -> dict[str, Any]:
        """As the SDK's ``Template`` takes it, which refuses null lists and integer ids."""
        return {
            "id": image.id,
            "name": image.name,
            "display_name": image.display_name,
            "description": image.description,
            "category": "development",
            "language": "python",
            "default_resources": {
                "vcpu": self.vcpu(),
                "memory_mb": self._settings.memory_mb,
                "disk_gb": max(1, self._settings.workspace_mb // 1024),
            },
            "features": [],
            "tags": [],
            "is_active": True,
            "is_public": True,
            "status": "active",
        }

    def vcpu(self) -> int:
        """Whole processors, at least one: the vendor counts no fractions."""
        return max(1, int(self._settings.cpus))

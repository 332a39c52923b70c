"""Every image by its name and id, and how the control plane's callers read of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.images.layers import Content
from glovebox_local.sandbox.images.request import Start
from glovebox_local.sandbox.settings import SandboxSettings

Status = Literal["building", "active", "failed"]


@dataclass(frozen=True, slots=True)
class Image:
    """What a sandbox starts from, by its id and name. It never changes; an update replaces it."""

    id: str
    name: str
    display_name: str
    description: str
    content: Content | None = None
    """Its files; None for the machine's own system and an empty /workspace."""
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/workspace"
    start: Start | None = None
    public: bool = False


@dataclass(slots=True)
class Entry:
    """A name in the catalogue: what it stands for now, and the build that it was last given."""

    id: str
    name: str
    image: Image | None
    status: Status
    build_id: str | None = None
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)


_BUILT_IN = (
    Image("1", "base", "Base", "The host's system, read-only, and a Python.", public=True),
    Image(
        "2", "code-interpreter", "Code interpreter", "As base; the vendor's default.", public=True
    ),
)


class Images:
    """Every image that a sandbox can be made from, and those that are being built."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._by_name = {
            image.name: Entry(image.id, image.name, image, "active") for image in _BUILT_IN
        }

    def __len__(self) -> int:
        return len(self._by_name)

    def all(self) -> Iterable[Entry]:
        """Every entry, the oldest first."""
        return self._by_name.values()

    def entry(self, name_or_id: str) -> Entry | None:
        """By name or by id."""
        by_id = (entry for entry in self._by_name.values() if entry.id == name_or_id)
        return self._by_name.get(name_or_id) or next(by_id, None)

    def find(self, name_or_id: str) -> Image | None:
        """The image to make a sandbox from, if there is one of this name or id."""
        entry = self.entry(name_or_id)
        return entry.image if entry else None

    def base(self) -> Image:
        """The machine's own system."""
        return _BUILT_IN[0]

    def add(self, name: str) -> Entry:
        """A new name, for an image that is about to be built; replaces one that failed."""
        self._by_name.pop(name, None)
        entry = Entry(f"tpl-{secrets.token_hex(8)}", name, None, "building")
        self._by_name[name] = entry
        return entry

    def remove(self, entry: Entry) -> None:
        """Forget a name. Sandboxes of its image go on."""
        if self._by_name.get(entry.name) is entry:
            del self._by_name[entry.name]
        if entry.image is not None and entry.image.content is not None:
            entry.image.content.release()

    def describe(self, entry: Entry) -> dict[str, Any]:
        """As the SDK's ``Template`` takes it, which refuses null lists and integer ids."""
        image = entry.image
        public = image is not None and image.public
        description = image.description if image else "Not built yet."
        resources = {
            "vcpu": self.vcpu(),
            "memory_mb": self._settings.memory_mb,
            "disk_gb": max(1, self._settings.workspace_mb // 1024),
        }
        return {
            "object": "template",
            "id": entry.id,
            "organization_id": "1",
            "name": entry.name,
            "display_name": image.display_name if image else entry.name,
            "description": description,
            "category": "development",
            "language": "python",
            "default_resources": resources,
            "features": [],
            "tags": [],
            "is_active": entry.status == "active",
            "is_public": public,
            "status": entry.status,
            "build_id": entry.build_id,
            "created_at": entry.created_at,
            "updated_at": entry.updated_at,
        }

    def vcpu(self) -> int:
        """Whole processors, at least one: the vendor counts no fractions."""
        return max(1, int(self._settings.cpus))

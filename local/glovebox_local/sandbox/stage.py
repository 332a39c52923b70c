"""A place that every user may enter, where root prepares what sandboxes bind.

It is a tmpfs in the service's own mount namespace: nobody else sees it, it covers nothing for
anyone else, and it ends with the service, however that ends. Preparing pays: bwrap reads the whole
mount table for every folder it binds.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from glovebox_local.sandbox import linux
from glovebox_local.sandbox.recipe import NETWORK_ETC, SHARED_ETC, small_files

# Covered in the private mount namespace only; any folder that exists everywhere would do.
_PLACES = ("/mnt", "/media", "/srv")
_MAX_ETC_BYTES = 16 * 1024 * 1024


class Stage:
    """The prepared place. Build it once, after ``runtime.enter_private_mounts``."""

    def __init__(self, folders: dict[str, Path]) -> None:
        """``folders`` (name: folder of the host) are bound here under their names."""
        self._folder = Path(next(place for place in _PLACES if Path(place).is_dir()))
        # Opened before the place is covered: a folder may lie below it.
        opened = {name: os.open(path, os.O_PATH) for name, path in folders.items()}
        linux.mount("tmpfs", str(self._folder), "tmpfs", 0, f"mode=755,size={_MAX_ETC_BYTES}")
        for name, descriptor in opened.items():
            self._bind(f"/proc/self/fd/{descriptor}", self._folder / name)
            os.close(descriptor)

    def path(self, name: str) -> str:
        """Where sandboxes can bind a folder from."""
        return str(self._folder / name)

    def etc(self) -> str:
        """An /etc for every sandbox: copies of the host's harmless files, and the sandbox's own."""
        etc = self._folder / "etc"
        etc.mkdir(mode=0o755)
        for name in SHARED_ETC:
            source = Path("/etc", name)
            if source.is_dir():
                # Keys are readable for root, who copies.
                leave_out = shutil.ignore_patterns("private")
                shutil.copytree(source, etc / name, symlinks=True, ignore=leave_out)
            elif source.exists():
                shutil.copy(source, etc / name)
        for name in NETWORK_ETC:  # places to bind the host's over, for sandboxes with a network
            (etc / name).touch(mode=0o644)
        for path, content in small_files(network=False):
            (etc / Path(path).name).write_bytes(content)
        return str(etc)

    def packages(self, names: list[str], inside: str, binds: list[Path]) -> str:
        """A site folder: links to ``inside``/name for each name, and each of ``binds`` itself."""
        folder = self._folder / "packages"
        folder.mkdir(mode=0o755)
        for name in names:
            (folder / name).symlink_to(f"{inside}/{name}")
        for source in binds:
            self._bind(str(source), folder / source.name)
        return str(folder)

    def _bind(self, source: str, target: Path) -> None:
        target.mkdir(mode=0o755)
        linux.mount(source, str(target), "", linux.MS_BIND, "")

"""What sandboxes see of the host, put together once by root instead of each time by bwrap.

It stands on a tmpfs in the service's own mount namespace: nobody else sees it, it covers nothing
for anyone else, and it ends with the service, however that ends. Sandboxes then bind one tree;
bwrap reads the whole mount table for every single folder that it binds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from glovebox_local.sandbox import linux
from glovebox_local.sandbox.recipe import HOME, IMAGE_PLACES, NETWORK_ETC, SHARED_ETC, small_files

# Covered in the private mount namespace only; any folder that exists everywhere would do.
_PLACES = ("/mnt", "/media", "/srv")
_MAX_BYTES = 16 * 1024 * 1024
# Where bwrap mounts what every sandbox has of its own.
_OWN = ("proc", "dev", "tmp", "workspace")
# Where else an image may put files; a base image's sandbox sees an empty folder, read-only.
_OF_IMAGES = tuple(place.strip("/") for place in IMAGE_PLACES if place != HOME)
_SEALED = linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV


def build_root(options: list[str]) -> str:
    """Do what these options of bwrap say (``--ro-bind``, ``--symlink``, ``--tmpfs``), once.

    Returns the folder that sandboxes bind as their root. Call it after
    ``runtime.enter_private_mounts``.
    """
    place = next(place for place in _PLACES if Path(place).is_dir())
    # Opened before the place is covered: a source may lie below it.
    sources = {
        source: os.open(source, os.O_PATH) for word, source, _ in _steps(options) if "bind" in word
    }
    linux.mount("tmpfs", place, "tmpfs", 0, f"mode=755,size={_MAX_BYTES}")
    root = Path(place, "root")
    for name in (*_OWN, *_OF_IMAGES):
        (root / name).mkdir(mode=0o755, parents=True)
    for word, first, second in _steps(options):
        target = root / (second or first).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if word == "--symlink":
            target.symlink_to(first)
        elif word == "--ro-bind":
            _bind(sources[first], target, is_folder=Path(first).is_dir())
        elif word == "--tmpfs":
            linux.mount("tmpfs", str(target), "tmpfs", 0, "mode=755,size=64k")
        else:
            _seal(target)
    for descriptor in sources.values():
        os.close(descriptor)
    _fill_etc(root / "etc")
    return str(root)


def _steps(options: list[str]) -> Iterator[tuple[str, str, str]]:
    """(word, first argument, second argument or nothing)."""
    words = iter(options)
    for word in words:
        yield word, next(words), next(words) if word in ("--ro-bind", "--symlink") else ""


def _bind(source: int, target: Path, *, is_folder: bool) -> None:
    if is_folder:
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    linux.mount(f"/proc/self/fd/{source}", str(target), "", linux.MS_BIND, "")
    _seal(target)


def _seal(target: Path) -> None:
    # As bwrap would do it in every sandbox, which finds it done.
    linux.mount("", str(target), "", linux.MS_BIND | linux.MS_REMOUNT | _SEALED, "")


def _fill_etc(etc: Path) -> None:
    """Copies of the host's harmless files, and the sandbox's own."""
    etc.mkdir(mode=0o755)
    for name in SHARED_ETC:
        source = Path("/etc", name)
        if source.is_dir():
            # Root could read private keys, and would copy them.
            leave_out = shutil.ignore_patterns("private")
            shutil.copytree(source, etc / name, symlinks=True, ignore=leave_out)
        elif source.exists():
            shutil.copy(source, etc / name)
    for name in NETWORK_ETC:  # places to bind the host's over, for sandboxes with a network
        (etc / name).touch(mode=0o644)
    for path, content in small_files(network=False):
        (etc / Path(path).name).write_bytes(content)

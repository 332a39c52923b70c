"""Puts the files of an uploaded tar where a COPY step wants them; runs inside the build's sandbox.

    python unpack.py TARGET SOURCE… < archive

A tar holds the files under their paths in the client's folder. As with Docker's COPY, a folder's
content goes to the target, and a file becomes the target, or goes into it. The archive is
untrusted, so nothing of it is read outside; inside, tarfile's ``data`` filter refuses what leads
out of the target. Needs nothing but Python.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
import tarfile


def clean(name: str) -> str:
    """A path without dots and slashes too many; "." for the folder itself."""
    return posixpath.normpath(name.lstrip("/") or ".")


def base_of(source: str) -> str:
    """A source without its pattern: ``app/**`` is about what lies in ``app``."""
    fixed = []
    for part in clean(source).split("/"):
        if re.search(r"[*?[]", part):
            break
        fixed.append(part)
    return "/".join(fixed) or "."


def below(name: str, base: str) -> str | None:
    """A path as seen from a folder; None if it is elsewhere."""
    if base == ".":
        return name
    if name == base:
        return "."
    return name[len(base) + 1 :] if name.startswith(base + "/") else None


def put(archive: tarfile.TarFile, source: str, target: str, *, into: bool) -> int:
    """Extract what belongs to one source; returns how many entries that were."""
    members = archive.getmembers()
    base = base_of(source)
    single = any(clean(member.name) == base and not member.isdir() for member in members)
    folder = posixpath.dirname(base) or "." if single else base
    found = 0
    for member in members:
        name = clean(member.name)
        place = below(name, folder)
        if place is None or (single and name != base):
            continue
        found += 1
        where = target
        if single and not into:
            where, place = posixpath.split(target)
        os.makedirs(where, exist_ok=True)  # noqa: PTH103
        if place == ".":
            continue
        link = member.linkname
        if member.islnk():
            link = below(clean(link), folder) or link
        moved = member.replace(name=place, linkname=link, deep=False)
        archive.extract(moved, where, filter="data")
    return found


def main(target: str, sources: list[str]) -> None:
    """Ends the process with a message and exit code 1 for what is refused."""
    into = target.endswith("/") or os.path.isdir(target) or len(sources) > 1  # noqa: PTH112
    try:
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r:*") as archive:
            for source in sources:
                if not put(archive, source, target, into=into):
                    sys.exit(f"the upload holds nothing of {source}")
    except (tarfile.TarError, OSError, EOFError, RecursionError, ValueError, KeyError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

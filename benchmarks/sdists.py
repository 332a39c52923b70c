"""Real suites, as their authors published them, fetched by pip and kept in .build/."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

BUILD = Path(__file__).parents[1] / ".build" / "sdists"


def unpacked_sdist(requirement: str) -> Path:
    """The folder of a source distribution such as `boltons==26.2.0`, fetched once."""
    name, _, version = requirement.partition("==")
    folder = BUILD / f"{name}-{version}"
    if not folder.is_dir():
        BUILD.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        options = ["--no-binary", name, "--dest", str(BUILD), requirement]
        subprocess.run([*command, *options], check=True)
        (archive,) = BUILD.glob(f"{name.replace('-', '[_-]')}-{version}.tar.gz")
        with tarfile.open(archive) as content:
            content.extractall(BUILD, filter="data")
        made = BUILD / archive.name.removesuffix(".tar.gz")
        if made != folder:
            made.rename(folder)
    return folder

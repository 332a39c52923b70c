"""Packages of the npm registry with their own tests, fetched by npm and kept in .build/."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

BUILD = Path(__file__).parents[1] / ".build" / "npm"


def unpacked_package(name: str, version: str) -> Path:
    """The folder of a published package, as its authors published it, fetched once."""
    folder = BUILD / f"{name}-{version}"
    if not folder.is_dir():
        BUILD.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", f"{name}@{version}"]
        subprocess.run(command, cwd=BUILD, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(BUILD / f"{name}-{version}.tgz") as content:
            content.extractall(folder, filter="data")
    return folder / "package"

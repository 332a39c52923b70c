"""The Python that sandboxes get: this interpreter's, without the packages of its installation.

Sandboxes run as users who may not enter a private home, where pyenv and its like live. Root
therefore shows the installation at a second place (``stage``), in a mount namespace of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from glovebox_local.sandbox import linux
from glovebox_local.sandbox.recipe import View, system_folders
from glovebox_local.sandbox.stage import build_root

INSIDE = "/opt/python"
_INSIDE_SITE = "/opt/site"
_PIP_PATTERNS = ("pip", "pip-*.dist-info")


# Where `make setup` puts the packages of requirements/sandbox.txt, in a checkout.
_SET_UP_SITE = Path(__file__).resolve().parents[3] / ".venv" / "share" / "glovebox" / "sandbox-site"


class RuntimeUnavailableError(RuntimeError):
    """Sandboxes cannot be given a Python that works; the message says why."""


def set_up_site() -> Path | None:
    """The packages that were set up for sandboxes in the repository, if they were."""
    return _SET_UP_SITE if _SET_UP_SITE.is_dir() else None


def enter_private_mounts() -> bool:
    """Give this process mounts that nobody else sees. False without the right to.

    Call it first: before any thread, and before anything that a sandbox will see is mounted.
    """
    if os.geteuid() != 0 or not linux.has_sys_admin():
        return False
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("", "/", "", linux.MS_REC | linux.MS_PRIVATE, "")
    return True


def host_view(runtime_site: Path | None, *, private: bool) -> View:
    """What sandboxes see of the host: ``python``, ``pip``, the packages of ``runtime_site``, /etc.

    ``private`` says that ``enter_private_mounts`` was done. Raises ``RuntimeUnavailableError`` if
    ``runtime_site`` is not a directory.
    """
    if runtime_site is not None and not runtime_site.is_dir():
        message = f"the runtime site {runtime_site} is not a directory"
        raise RuntimeUnavailableError(message)
    base = Path(sys.base_prefix).resolve()
    in_usr = base.is_relative_to("/usr")
    options = list(system_folders())
    if in_usr:
        options += _usr_names(base)
    else:
        # Scripts and the loader's search path name the installation by its place on the host.
        options += ("--ro-bind", str(base), INSIDE, "--symlink", INSIDE, str(base))
    sites = [path for path in _site_folders(base) if path.is_dir()]
    inside = [str(site if in_usr else INSIDE / site.relative_to(base)) for site in sites]
    pip = [path for site in sites for pattern in _PIP_PATTERNS for path in site.glob(pattern)]
    options += _packages(inside, runtime_site.resolve() if runtime_site else None, pip)
    if private:
        return View(("--ro-bind", build_root(options), "/"), has_etc=True)
    return View(tuple(options), has_etc=False)


def _packages(inside: list[str], site: Path | None, pip: list[Path]) -> Iterator[str]:
    """Cover every site folder: the first by the wanted packages, the others by nothing."""
    for covered in inside[1:]:
        yield from ("--tmpfs", covered, "--remount-ro", covered)
    for main in inside[:1]:
        if site is not None and (site / "pip").is_dir():
            yield from ("--ro-bind", str(site), main)
            continue
        yield from ("--tmpfs", main)
        if site is not None:
            yield from ("--ro-bind", str(site), _INSIDE_SITE)
            for name in sorted(os.listdir(site)):  # noqa: PTH208 - names are wanted
                yield from ("--symlink", f"{_INSIDE_SITE}/{name}", f"{main}/{name}")
        for path in pip:
            yield from ("--ro-bind", str(path), f"{main}/{path.name}")
        yield from ("--remount-ro", main)


def _usr_names(base: Path) -> Iterator[str]:
    """``python`` and ``python3`` for an interpreter that is part of /usr (Debian has no python)."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("python", "python3"):
        yield from ("--symlink", f"{base}/bin/{version}", f"{INSIDE}/bin/{name}")


def _site_folders(base: Path) -> list[Path]:
    """Where the installation itself (not a virtual environment on it) looks for packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = "import site; print('\\n'.join(site.getsitepackages()))"
    command = [str(base / "bin" / version), "-I", "-c", program]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    except (OSError, subprocess.CalledProcessError) as error:
        message = f"{command[0]} does not run: {error}"
        raise RuntimeUnavailableError(message) from error
    return [Path(line) for line in answer.stdout.splitlines()]

"""bwrap's options: what a sandbox sees of the machine. Everything that is not here is not there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from glovebox_local.sandbox.settings import MIB, SandboxSettings

INSIDE_UID = 1000
HOSTNAME = "sandbox"
USER = "sandbox"
HOME = "/workspace"
PATH = f"{HOME}/.local/bin:/opt/python/bin:/usr/local/bin:/usr/bin:/bin"

# With the sandbox's and the command's own variables, this is a command's whole environment.
ENVIRONMENT = {
    "PATH": PATH,
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
    "USER": USER,
    "LOGNAME": USER,
}

IMAGE_PLACES = (HOME, "/app")
"""The folders whose content an image may bring along; everything else is the machine's."""

# Readable by anyone on the host and of use to an exploit, a spy or nobody.
_MASKED_PROC = ("kallsyms", "keys", "key-users", "timer_list", "cmdline", "config.gz")
_MERGED_INTO_USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What programs read of /etc: certificates, the loader's cache, the names behind /usr/bin's links.
SHARED_ETC = ("ssl", "pki", "ca-certificates", "alternatives", "ld.so.cache", "localtime")
NETWORK_ETC = ("resolv.conf", "hosts", "nsswitch.conf")

_PASSWD = f"root:x:0:0:root:/root:/usr/sbin/nologin\n{USER}:x:1000:1000::{HOME}:/bin/bash\n"
_GROUP = f"root:x:0:\n{USER}:x:1000:\n"
_HOSTS = f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n"
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"

Options = tuple[tuple[str, ...], tuple[tuple[str, bytes], ...], tuple[str, ...]]
"""(options before the files, files of /etc as (path, content), options after)."""


class BubblewrapMissingError(RuntimeError):
    """There is no bwrap on this machine, or none that can do what the recipe needs."""


@dataclass(frozen=True, slots=True)
class View:
    """What a sandbox sees of the host."""

    options: tuple[str, ...]
    """bwrap's options that show it."""
    has_etc: bool
    """Whether /etc is part of it already, with the sandbox's own files."""


def find_bwrap() -> str:
    """Where bubblewrap is. Raises ``BubblewrapMissingError`` with what to install."""
    found = shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin")
    if found is None:
        message = "bubblewrap is not installed; on Debian or Ubuntu: apt-get install bubblewrap"
        raise BubblewrapMissingError(message)
    return found


def bwrap_options(
    settings: SandboxSettings, view: View, *, network: bool, masks: bool = True
) -> Options:
    """All of bwrap's options but those that name descriptors (files, filter, information).

    Without ``masks``, whoever runs bwrap covers ``masked_files`` itself.
    """
    before = (
        *_namespaces(network=network),
        *(("--clearenv",) if settings.recipe.clean_environment else ()),
        *view.options,
        *(() if view.has_etc else etc_options(SHARED_ETC)),
        *(etc_options(NETWORK_ETC) if network else ()),
        *("--proc", "/proc", "--dev", "/dev"),
        *(_mask_options() if masks else ()),
        *_sized("/dev/shm", settings.shm_mb, "1777"),  # noqa: S108 - the sandbox's own
        *_sized("/tmp", settings.tmp_mb, "1777"),  # noqa: S108 - the sandbox's own
        *_sized(HOME, settings.workspace_mb, "0755"),
    )
    files = () if view.has_etc else small_files(network=network)
    return before, files, ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME)


def _namespaces(*, network: bool) -> tuple[str, ...]:
    share = ("--share-net",) if network else ()
    return (
        *("--unshare-all", *share, "--unshare-user"),
        *("--disable-userns", "--assert-userns-disabled"),
        *("--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID), "--hostname", HOSTNAME),
        *("--cap-drop", "ALL", "--new-session", "--die-with-parent", "--as-pid-1"),
    )


def system_folders() -> tuple[str, ...]:
    """/usr, and the top-level names that lead into it or stand beside it."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _MERGED_INTO_USR:
        folder = Path("/", name)
        if folder.is_symlink():
            options += ("--symlink", str(folder.readlink()), str(folder))
        elif folder.is_dir():
            options += ("--ro-bind", str(folder), str(folder))
    return tuple(options)


def etc_options(names: tuple[str, ...]) -> tuple[str, ...]:
    """These of /etc, where they exist."""
    present = [path for path in (Path("/etc", name) for name in names) if path.exists()]
    return tuple(word for path in present for word in ("--ro-bind", str(path), str(path)))


def small_files(*, network: bool) -> tuple[tuple[str, bytes], ...]:
    """Files of /etc that are the sandbox's own, as (path, content)."""
    files = [("/etc/passwd", _PASSWD), ("/etc/group", _GROUP)]
    if not network:
        files += [("/etc/hosts", _HOSTS), ("/etc/nsswitch.conf", _NSSWITCH)]
    return tuple((path, content.encode()) for path, content in files)


def masked_files() -> tuple[str, ...]:
    """Those of /proc that no sandbox may read, as far as this kernel has them."""
    paths = (Path("/proc", name) for name in _MASKED_PROC)
    return tuple(str(path) for path in paths if path.exists())


def _mask_options() -> tuple[str, ...]:
    return tuple(word for path in masked_files() for word in ("--ro-bind", "/dev/null", path))


def _sized(path: str, mebibytes: int, mode: str) -> tuple[str, ...]:
    return ("--size", str(mebibytes * MIB), "--perms", mode, "--tmpfs", path)

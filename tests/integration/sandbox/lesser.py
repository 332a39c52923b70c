"""Services at the lower levels of isolation, on a machine that could do better."""

from __future__ import annotations

import sys
from pathlib import Path

from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, SMALL, SMALL_SETTINGS

NOBODY = 65534

# The interpreter may be in a private home. In a mount namespace of its own, its home is shown
# again in an empty one that everybody may enter.
_ENTER = f"""
private=$1 prefix=$2; shift 2
if [ -n "$private" ]; then
    aside=$(mktemp -d)
    mount --bind "$prefix" "$aside"
    mount -t tmpfs -o mode=755 tmpfs "$private"
    mkdir -p "$prefix"
    mount --bind "$aside" "$prefix"
    umount "$aside"
    rmdir "$aside"
fi
exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --inh-caps=-all "$@"
"""


class WithoutGroups(SandboxServerProcess):
    """Root's service on a machine whose control groups are not to be had."""

    def __init__(self) -> None:
        super().__init__(API_KEY)

    def command(self) -> list[str]:
        program = (
            "from glovebox_local.sandbox import cgroup_trees\n"
            "from glovebox_local.sandbox.service import run\n"
            "from glovebox_local.sandbox.settings import SandboxSettings\n"
            "def missing(*_):\n"
            "    raise cgroup_trees.CgroupsUnavailableError('none here')\n"
            "cgroup_trees.prepare = missing\n"
            f"run(SandboxSettings(api_key={API_KEY!r}, {SMALL_SETTINGS}))\n"
        )
        return [sys.executable, "-c", program]


class OfAnOrdinaryUser(SandboxServerProcess):
    """The service as a user without any right starts it. Making that user needs root."""

    def __init__(self) -> None:
        super().__init__(API_KEY, options=SMALL)

    def command(self) -> list[str]:
        prefix = Path(sys.base_prefix).resolve()
        shut = [place for place in prefix.parents if not place.stat().st_mode & 0o001]
        places = [str(shut[-1]) if shut else "", str(prefix)]
        return ["unshare", "--mount", "sh", "-ec", _ENTER, "sh", *places, *super().command()]

"""Starts the spawner process, for the server."""

from __future__ import annotations

import _socket
import subprocess
import sys
from pathlib import Path

from glovebox_local.sandbox import wire
from glovebox_local.sandbox.spawner.plan import Plan

_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
# No site and no environment: nothing is imported that a fork would copy for nothing.
_PROGRAM = """\
import sys
sys.path.append(sys.argv[1])
from glovebox_local.sandbox.spawner import spawning
spawning.main(int(sys.argv[2]))
"""


def launch(plan: Plan) -> tuple[subprocess.Popen[bytes], _socket.socket]:
    """Start the spawner; returns it and this end of the socket to it. Closing that ends it."""
    ours, theirs = wire.pair()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_PACKAGE_ROOT), str(theirs.fileno())],
        env={} if plan.clean_environment else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        # Out of the terminal's group: an interrupt is the server's to act on.
        start_new_session=True,
    )
    theirs.close()
    wire.send(ours, plan.to_packet())
    return process, ours

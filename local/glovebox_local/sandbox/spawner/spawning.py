"""The spawner's loop: one keeper per sandbox, made on demand, cleaned up after.

Run as ``python -I -S -c "…; main(FD)"`` by ``launch``. One thread that lives as long as the
service: "die with parent" means the parent *thread*, so nothing else may start a sandbox.
"""

from __future__ import annotations

import _socket
import contextlib
import gc
import os
import select
import signal
import time

from glovebox_local.sandbox import cgroups, linux, wire
from glovebox_local.sandbox.spawner import keeper
from glovebox_local.sandbox.spawner.plan import Plan

_END_SECONDS = 5.0
_RETRY_SECONDS = 0.05
_WAKE_BYTES = 4096


class Spawner:
    """The keepers that are alive, and the control groups they live in."""

    def __init__(self, plan: Plan, end: _socket.socket) -> None:
        self._plan = plan
        self._end = end
        self._groups = _groups_of(plan)
        self._slots: dict[int, int] = {}  # process id of a keeper: its slot
        self._busy_groups: list[int] = []
        self._events = select.epoll()
        # A child's end interrupts nothing in Python, but it writes here.
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Obey until the server closes its end, then end everything."""
        self._events.register(self._end.fileno(), select.EPOLLIN)
        self._events.register(self._wake_read, select.EPOLLIN)
        try:
            while True:
                self._turn(_RETRY_SECONDS if self._busy_groups else None)
        except wire.Closed:
            self._end_all()

    def _turn(self, timeout: float | None) -> None:
        for descriptor, _ in self._events.poll(timeout):
            if descriptor == self._wake_read:
                os.read(self._wake_read, _WAKE_BYTES)
                self._bury()
            else:
                packet, _ = wire.receive(self._end)
                if packet[0] == "keeper":
                    self._fork_keeper(packet[1])
        for slot in self._busy_groups[:]:
            self._clean(slot)

    def _fork_keeper(self, slot: int) -> None:
        theirs, ours = wire.pair()
        try:
            places = self._groups.create(cgroups.sandbox_name(slot)) if self._groups else ()
            pid = os.fork()
        except OSError as error:
            if self._groups:
                self._groups.remove(cgroups.sandbox_name(slot))
            wire.send(self._end, ("refused", slot, str(error)))
            return
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            theirs.close()
            self._end.close()
            self._events.close()
            keeper.run(self._plan, ours, self._plan.uid_base + slot, places)
        self._slots[pid] = slot
        try:
            wire.send(self._end, ("keeper", slot, pid), (theirs.fileno(),))
        finally:
            theirs.close()
            ours.close()

    def _bury(self) -> None:
        """Wait for every child that ended; strangers are orphans of a keeper that was killed."""
        with contextlib.suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                if pid in self._slots:
                    self._busy_groups.append(self._slots.pop(pid))

    def _clean(self, slot: int) -> None:
        if self._groups is None or self._groups.remove(cgroups.sandbox_name(slot)):
            self._busy_groups.remove(slot)
            with contextlib.suppress(wire.Closed):
                wire.send(self._end, ("gone", slot))

    def _end_all(self) -> None:
        """The server is gone: keepers saw their sockets close too. Wait, then leave no group."""
        self._events.unregister(self._end.fileno())
        if self._groups:
            for slot in self._slots.values():
                self._groups.thaw(cgroups.sandbox_name(slot))  # a frozen keeper sees nothing
        deadline = time.monotonic() + _END_SECONDS
        while self._slots or self._busy_groups:
            self._events.poll(_RETRY_SECONDS)
            self._bury()
            for slot in self._busy_groups[:]:
                self._clean(slot)
            if time.monotonic() > deadline:
                for pid in self._slots:
                    os.kill(pid, signal.SIGKILL)
                deadline += _END_SECONDS
        if self._groups:
            self._groups.remove_all()


def main(descriptor: int) -> None:
    """Receive the plan, then serve."""
    end = wire.adopt(descriptor)
    # A terminal's interrupt reaches the whole group; the server alone decides when to end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    linux.adopt_orphans()
    try:
        plan = Plan.from_packet(wire.receive(end)[0])
    except wire.Closed:
        return
    # Frozen, the collector never writes to the pages that the forks share.
    gc.collect()
    gc.freeze()
    gc.disable()
    Spawner(plan, end).serve()


def _groups_of(plan: Plan) -> cgroups.Cgroups | None:
    if plan.cgroups is None:
        return None
    version, parents = plan.cgroups
    limits = cgroups.Limits(memory_bytes=plan.memory_bytes, pids=plan.pids, cpus=plan.cpus)
    return cgroups.Cgroups(version, parents, limits)

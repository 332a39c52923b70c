"""The keeper: one small process per sandbox, on the host, in the sandbox's control groups.

It makes the sandbox when told to, starts processes in it, says when they end, and kills all of it
when its socket closes. Its children are in the groups from birth: joining costs up to 25 ms, and
the keeper paid that while it waited for work.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import resource
import select
import signal
from typing import NoReturn

from glovebox_local.sandbox import cgroups, linux, wire
from glovebox_local.sandbox.spawner import birth, dress, entry, masks
from glovebox_local.sandbox.spawner.plan import Plan


class Keeper:
    """What one keeper knows: its socket, its sandbox once made, and the processes it started."""

    def __init__(self, plan: Plan, end: _socket.socket, uid: int) -> None:
        self._plan = plan
        self._end = end
        self._uid = uid
        self._network = False
        self._born: birth.Born | None = None
        self._sandbox_fd = -1
        self._processes: dict[int, tuple[int, int]] = {}  # pidfd: (tag, pid)
        self._events = select.epoll()
        self._own_processes = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def serve(self) -> None:
        """Obey until the socket closes."""
        self._events.register(self._end.fileno(), select.EPOLLIN)
        wire.send(self._end, ("ready",))
        try:
            while True:
                for descriptor, _ in self._events.poll():
                    if descriptor == self._end.fileno():
                        self._obey(*wire.receive(self._end))
                    elif descriptor == self._sandbox_fd:
                        self._events.unregister(descriptor)
                        wire.send(self._end, ("died",))
                    else:
                        self._report_exit(descriptor)
        except wire.Closed:
            self.kill()

    def kill(self) -> None:
        """End everything in the sandbox, and wait until it has ended."""
        if self._born is None:
            return
        with contextlib.suppress(ProcessLookupError):
            # The kernel kills what is left of a process namespace with its first process.
            signal.pidfd_send_signal(self._sandbox_fd, signal.SIGKILL)
        os.kill(self._born.monitor_pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()

    def _obey(self, packet: wire.Packet, fds: list[int]) -> None:
        match packet:
            case ("make", bool(network)):
                self._make(network)
            case ("again",):
                self._end_sandbox()
            case ("dress", int(size), tuple(places), bool(fresh)):
                self._dress(size, places, fds, fresh=fresh)
            case ("start", int(tag), list(argv), dict(environment), str(directory)):
                self._start(tag, argv, environment, directory, fds)
            case ("signal", int(tag), int(number)):
                self._signal(tag, number)
            case ("everyone", int(number)):
                self._signal_everyone(number)
        for descriptor in fds:
            os.close(descriptor)

    def _end_sandbox(self) -> None:
        """Kill the sandbox, and be as before it was made."""
        self.kill()
        if self._born is not None:
            os.close(self._born.input_fd)
            self._born = None
        for descriptor in (self._sandbox_fd, *self._processes):
            with contextlib.suppress(OSError):  # of one that has died the events know no more
                self._events.unregister(descriptor)
            os.close(descriptor)
        self._sandbox_fd = -1
        self._processes = {}
        linux.setns(self._own_processes, linux.CLONE_NEWPID)
        wire.send(self._end, ("ended",))

    def _make(self, network: bool) -> None:
        try:
            self._born = birth.make_sandbox(self._plan, self._uid, network=network)
            self._sandbox_fd = os.pidfd_open(self._born.first_pid)
            masks.cover(self._sandbox_fd, self._plan.masked)
            linux.setns(self._sandbox_fd, self._joined_now(network=network))
        except (birth.BirthError, OSError) as error:
            wire.send(self._end, ("failed", str(error)))
            return
        self._network = network
        self._events.register(self._sandbox_fd, select.EPOLLIN)
        wire.send(self._end, ("made", self._born.first_pid))

    def _dress(self, size: int, places: tuple[str, ...], layers: list[int], *, fresh: bool) -> None:
        if self._born is None:
            return
        upper = layers[-1] if fresh else None
        below = layers[:-1] if fresh else layers
        try:
            uid = self._uid if self._plan.own_uid else 0
            dress.put_on(self._born.first_pid, self._sandbox_fd, uid, size, places, below, upper)
        except OSError as error:
            wire.send(self._end, ("undressed", str(error)))
        else:
            wire.send(self._end, ("dressed",))

    def _joined_now(self, *, network: bool) -> int:
        """The namespaces that the keeper joins itself.

        Root joins the process namespace, which counts for children only, and stays on the host. An
        ordinary user has no right to that alone: it gets the right by joining all at once. It
        stays unseen there, for it is not in the process namespace itself.
        """
        if self._plan.full:
            return linux.CLONE_NEWPID
        return linux.CLONE_NEWPID | entry.namespaces(network=network)

    def _start(
        self,
        tag: int,
        argv: list[str],
        environment: dict[str, str],
        directory: str,
        standard: list[int],
    ) -> None:
        try:
            pid = entry.start_process(
                self._plan,
                self._sandbox_fd,
                argv,
                environment,
                directory,
                network=self._network,
                standard=standard,
            )
        except entry.EntryError as error:
            wire.send(self._end, ("unstarted", tag, error.step, error.number))
            return
        descriptor = os.pidfd_open(pid)
        self._processes[descriptor] = (tag, pid)
        self._events.register(descriptor, select.EPOLLIN)
        wire.send(self._end, ("started", tag, pid))

    def _signal(self, tag: int, number: int) -> None:
        for known, pid in self._processes.values():
            # Known means not yet waited for: the number cannot have become another process's.
            if known == tag:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, number)

    def _signal_everyone(self, number: int) -> None:
        """By a child, which is born in the sandbox's process namespace: -1 means everyone there."""
        try:
            pid = os.fork()
        except OSError:
            wire.send(self._end, ("signalled", 1))
            return
        if pid == 0:
            code = 1
            try:
                # A parent outside of its namespace is what only a child inside sees as 0.
                if os.getppid() == 0:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(-1, number)
                    code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        wire.send(self._end, ("signalled", os.waitstatus_to_exitcode(status)))

    def _report_exit(self, descriptor: int) -> None:
        if descriptor not in self._processes:
            return  # it ended with its sandbox, whose end was told in the same moment
        tag, pid = self._processes.pop(descriptor)
        self._events.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        wire.send(self._end, ("exited", tag, status))


def run(plan: Plan, end: _socket.socket, uid: int, places: tuple[str, ...]) -> NoReturn:
    """Be a keeper: called in a fresh fork of the spawner, never returns."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        linux.die_with_parent(signal.SIGKILL)
        # Orphans of the sandbox come here and not to a process 1 that might not reap.
        linux.adopt_orphans()
        linux.no_new_privileges()
        cgroups.join(places)
        if plan.full:
            os.setgroups([])
            _lessen_mounts()
        _bound(plan)
        Keeper(plan, end, uid).serve()
    except OSError as error:
        with contextlib.suppress(wire.Closed, BlockingIOError):
            wire.send(end, ("failed", str(error)))
    finally:
        os._exit(0)


def _lessen_mounts() -> None:
    """Forget /sys, half of all mounts where groups are of version 1: for each thing that bwrap
    mounts, it reads the whole table."""
    linux.unshare(linux.CLONE_NEWNS)
    with contextlib.suppress(OSError):  # there may be none
        linux.detach_mounts("/sys")


def _bound(plan: Plan) -> None:
    """Limits per process, which every process of the sandbox inherits."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (plan.open_files, plan.open_files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_bytes, plan.file_bytes))

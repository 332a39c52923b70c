"""Starts a process in a sandbox that exists: the same confinement, entered from outside.

The child joins the sandbox's namespaces, gives up every right, and becomes the program. The groups
(memory, processes, processor time) it has from its parent, the sandbox's keeper.
"""

from __future__ import annotations

import os
import resource
import signal

from glovebox_local.sandbox import linux
from glovebox_local.sandbox.spawner.plan import Plan

_NAMESPACES = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWCGROUP
)
# Python ignores these, and an ignored signal stays ignored across exec.
_RESTORED_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    # The spawner ignores these itself, so that a terminal's Ctrl-C does not end it.
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
)
_NEW_FILES_MASK = 0o022
# Of 1000: short of memory, the kernel takes a test's process before a keeper or the host's work.
_OOM_SCORE = 500


def namespaces(*, network: bool) -> int:
    """What a process joins, but the process namespace, which counts for its children only.

    A sandbox with ``network`` shares the host's network namespace: there is nothing to join.
    """
    return _NAMESPACES if network else _NAMESPACES | linux.CLONE_NEWNET


class EntryError(Exception):
    """The program never ran: the step that failed (``enter``, ``chdir``, ``exec``) and errno."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(step, number)
        self.step = step
        self.number = number


def start_process(
    plan: Plan,
    sandbox_fd: int,
    argv: list[str],
    environment: dict[str, str],
    directory: str,
    *,
    network: bool,
    standard: list[int],
) -> int:
    """Start a program in the sandbox whose first process ``sandbox_fd`` (a pidfd) names.

    Returns the process id once the program runs. It leads a new session and process group; its
    environment is exactly ``environment``, on whose PATH ``argv[0]`` is looked up inside. Raises
    ``EntryError``.
    """
    report_read, report_write = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(report_read)
        os.close(report_write)
        raise EntryError("enter", error.errno or 0) from error
    if pid == 0:
        # Without root the keeper is inside already, and so is its child.
        flags = namespaces(network=network) if plan.full else 0
        _become_program(
            plan, sandbox_fd, flags, argv, environment, directory, standard, report_write
        )
    os.close(report_write)
    failure = os.read(report_read, 64)
    os.close(report_read)
    if failure:
        os.waitpid(pid, 0)
        step, _, number = failure.decode().partition(" ")
        raise EntryError(step, int(number))
    return pid


def _become_program(
    plan: Plan,
    sandbox_fd: int,
    flags: int,
    argv: list[str],
    environment: dict[str, str],
    directory: str,
    standard: list[int],
    report: int,
) -> None:
    step = "enter"
    try:
        # Every other descriptor here closes itself on exec: nothing of the host is inherited.
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
        _confine(plan, sandbox_fd, flags)
        step = "chdir"
        os.chdir(directory)
        step = "exec"
        for signal_number in _RESTORED_SIGNALS:
            signal.signal(signal_number, signal.SIG_DFL)
        if plan.seccomp:
            linux.install_seccomp(plan.seccomp)
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(report, f"{step} {error.errno}".encode())
    finally:
        os._exit(127)


def _confine(plan: Plan, sandbox_fd: int, flags: int) -> None:
    linux.offer_to_oom_killer(_OOM_SCORE)
    # Set here and not in the keeper: a user namespace remembers its maker's limit as a ceiling
    # for all that user's sandboxes together, where this one counts the sandbox alone.
    resource.setrlimit(resource.RLIMIT_NPROC, (plan.pids, plan.pids))
    os.setsid()
    if os.isatty(0):
        linux.take_terminal(0)
    if flags:
        linux.setns(sandbox_fd, flags)
    os.setresgid(plan.inside_uid, plan.inside_uid, plan.inside_uid)
    os.setresuid(plan.inside_uid, plan.inside_uid, plan.inside_uid)
    linux.drop_all_capabilities()
    linux.no_new_privileges()
    os.umask(_NEW_FILES_MASK)

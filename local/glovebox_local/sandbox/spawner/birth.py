"""Makes the sandbox: namespaces, mounts, limits, identity, and one process that only stays alive.

Nothing of a test runs here; starting processes in the sandbox is ``entry``'s business.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from glovebox_local.sandbox import linux
from glovebox_local.sandbox.spawner.plan import Plan

# The first process echoes what it is sent: its answer proves that every mount and the filter
# stand. As process 1 of its namespace it cannot be killed from inside, and when its input ends
# (the keeper is gone) it ends, and the whole namespace with it.
FIRST_PROCESS = "/usr/bin/cat"
_HELLO = b"+"
_MAX_MESSAGE_BYTES = 4096


class BirthError(Exception):
    """bubblewrap did not make the sandbox; the message is what it said."""


class Born:
    """A live sandbox: its monitor (bwrap), its first process, and the pipe that keeps it alive."""

    __slots__ = ("first_pid", "input_fd", "monitor_pid")

    def __init__(self, monitor_pid: int, first_pid: int, input_fd: int) -> None:
        self.monitor_pid = monitor_pid
        self.first_pid = first_pid
        self.input_fd = input_fd


def make_sandbox(plan: Plan, uid: int, *, network: bool) -> Born:
    """Run bwrap as ``uid`` and wait until the sandbox's first process answers.

    Raises ``BirthError``; then no process is left.
    """
    before, files, after = plan.options[network]
    options = list(before)
    descriptors = []
    for path, content in files:
        descriptors.append(_holding(content))
        options += ("--perms", "0644", "--file", str(descriptors[-1]), path)
    if plan.seccomp:
        descriptors.append(_holding(plan.seccomp))
        options += ("--seccomp", str(descriptors[-1]))
    info_read, info_write = os.pipe()
    options += ("--info-fd", str(info_write), *after)
    # Options travel by a pipe: an argument list shows in ps, inside as /proc/1/cmdline.
    descriptors.append(_holding("\0".join(options).encode() + b"\0"))
    input_read, input_write = os.pipe()
    output_read, output_write = os.pipe()
    errors_read, errors_write = os.pipe()
    standard = (input_read, output_write, errors_write)
    monitor = _start_bwrap(plan, uid, standard, [*descriptors, info_write])
    for descriptor in (*descriptors, info_write, input_read, output_write, errors_write):
        os.close(descriptor)
    try:
        os.write(input_write, _HELLO)
        info = os.read(info_read, _MAX_MESSAGE_BYTES)
        if not info or os.read(output_read, 1) != _HELLO:
            raise BirthError(_last_words(errors_read, monitor))
    except BaseException:
        os.close(input_write)
        raise
    finally:
        for descriptor in (info_read, output_read, errors_read):
            os.close(descriptor)
    return Born(monitor, _first_pid(info), input_write)


def _start_bwrap(
    plan: Plan, uid: int, standard: tuple[int, int, int], descriptors: list[int]
) -> int:
    """Start bwrap as the sandbox's user; its process id.

    Spawned and not forked: a fork copies this interpreter's memory, page by page as either side
    touches it, which costs as much as a third of bwrap itself.
    """
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    command = [plan.bwrap, "--args", str(descriptors[-2]), "--", FIRST_PROCESS]
    environment = {} if plan.clean_environment else dict(os.environ)
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(standard)]
    # Inherited over exec: the kernel then reaps the sandbox's orphans by itself, and cat need not
    # know how.
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with _identity(plan, uid):
            return os.posix_spawn(
                plan.bwrap,
                command,
                environment,
                file_actions=actions,
                setsigdef=(signal.SIGPIPE,),
            )
    except OSError as error:
        raise BirthError(f"{plan.bwrap}: {error}") from error
    finally:
        signal.signal(signal.SIGCHLD, before)


@contextlib.contextmanager
def _identity(plan: Plan, uid: int) -> Iterator[None]:
    """Whatever is started within runs as the sandbox's user, and has no way back.

    This process keeps its own: exec takes the effective id for the saved one, and that is the
    sandbox's. Nothing of the sandbox exists yet that could make use of the moment.
    """
    if not (plan.full and plan.own_uid):
        yield
        return
    try:
        os.setresgid(uid, uid, 0)
        os.setresuid(uid, uid, 0)
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        # The kernel forgets it with every change of identity.
        linux.renew_death_signal()


def _holding(content: bytes) -> int:
    """A descriptor to read this content from once; it must fit a pipe (64 KiB)."""
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    return read


def _last_words(errors_fd: int, monitor: int) -> str:
    with contextlib.suppress(ChildProcessError):  # it ended within its very first moment
        os.kill(monitor, signal.SIGKILL)
        os.waitpid(monitor, 0)
    os.set_blocking(errors_fd, False)
    try:
        said = os.read(errors_fd, _MAX_MESSAGE_BYTES).decode(errors="replace").strip()
    except BlockingIOError:
        said = ""
    return said or "bwrap ended without a word"


def _first_pid(info: bytes) -> int:
    """``child-pid`` of bwrap's small JSON, without loading a parser for one number."""
    digits = info.partition(b'"child-pid":')[2].strip()
    return int(digits[: len(digits) - len(digits.lstrip(b"0123456789"))])

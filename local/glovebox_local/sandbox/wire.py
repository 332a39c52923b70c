"""Packets between the server, the spawner and the keepers, with file descriptors beside them.

One packet is one tuple: a word and its values. ``marshal`` encodes it: both ends are this package
under one interpreter, and it is built in, where ``json`` would double what each fork copies.

====================  =================================================  ========================
server → spawner      ``("keeper", slot)``                               a new keeper is wanted
spawner → server      ``("keeper", slot, pid)`` + its socket             it exists
spawner → server      ``("refused", slot, text)``                        it could not be made
spawner → server      ``("gone", slot)``                                 it ended, nothing is left
keeper → server       ``("ready",)``                                     it joined its groups
server → keeper       ``("make", network)``                              make the sandbox
keeper → server       ``("made", pid)`` or ``("failed", text)``          pid of its first process
server → keeper       ``("dress", bytes, places, fresh)`` + layers       an image's files, over it
keeper → server       ``("dressed",)`` or ``("undressed", text)``        they are there
server → keeper       ``("start", tag, argv, env, cwd)`` + 3 fds         start a process in it
keeper → server       ``("started", tag, pid)``                          its program runs
keeper → server       ``("unstarted", tag, step, errno)``                it never ran
server → keeper       ``("signal", tag, number)``                        to its process group
server → keeper       ``("everyone", number)``                           to all but the first
keeper → server       ``("signalled", exit_code)``                       they have it, if 0
keeper → server       ``("exited", tag, wait_status)``                   it ended
keeper → server       ``("died",)``                                      the sandbox ended itself
server → keeper       ``("again",)``                                     kill it, and be kept
keeper → server       ``("ended",)``                                     nothing of it is left
====================  =================================================  ========================

Closing the socket is the order to kill the sandbox and everything in it.
"""

from __future__ import annotations

import _socket
import array
import contextlib
import marshal
from typing import Any

Packet = tuple[Any, ...]

MAX_PACKET_BYTES = 192 * 1024
"""The largest packet. A single argument of a program may have 128 KiB in Linux anyway."""

# A program's three streams, or an image's layers.
MAX_FDS = 16
_SO_SNDBUFFORCE = 32  # not named by Python
# Room for MAX_PACKET_BYTES in one piece: the kernel's default of 208 KiB counts its own overhead.
_BUFFER_BYTES = 1024 * 1024


class Closed(Exception):
    """The other end is gone."""


class TooLarge(Exception):
    """The packet exceeds MAX_PACKET_BYTES."""


def pair() -> tuple[_socket.socket, _socket.socket]:
    """Two connected ends that keep packets whole and in order."""
    ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    for end in ends:
        end.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _BUFFER_BYTES)
        with contextlib.suppress(PermissionError):  # past the system's maximum, only root may
            end.setsockopt(_socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
    return ends


def adopt(descriptor: int) -> _socket.socket:
    """A socket object for an inherited or received descriptor."""
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, descriptor)


def send(end: _socket.socket, packet: Packet, fds: tuple[int, ...] = ()) -> None:
    """Send one packet. Raises ``Closed`` if nobody listens and ``TooLarge`` for an oversized one.

    On a non-blocking end that is full, raises ``BlockingIOError``.
    """
    data = marshal.dumps(packet)
    if len(data) > MAX_PACKET_BYTES:
        raise TooLarge(len(data))
    beside = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        end.sendmsg([data], beside, _socket.MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed from error


def receive(end: _socket.socket) -> tuple[Packet, list[int]]:
    """The next packet and the descriptors beside it (ours to close).

    Raises ``Closed`` at the end, and ``BlockingIOError`` on a non-blocking end with nothing there.
    """
    room = _socket.CMSG_SPACE(MAX_FDS * 4)
    try:
        data, beside, _, _ = end.recvmsg(MAX_PACKET_BYTES, room, _socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError as error:
        raise Closed from error
    if not data:
        raise Closed
    fds = array.array("i")
    for level, kind, content in beside:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % 4])
    packet: Packet = marshal.loads(data)  # noqa: S302 - both ends are this package
    return packet, list(fds)

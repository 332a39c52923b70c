"""What the server tells the spawner once, at its start: how every sandbox is to be made."""

from __future__ import annotations

from typing import Any

_FIELDS = (
    "full",
    "own_uid",
    "clean_environment",
    "seccomp",
    "uid_base",
    "inside_uid",
    "bwrap",
    "options",
    "masked",
    "memory_bytes",
    "pids",
    "cpus",
    "open_files",
    "file_bytes",
    "cgroups",
    "server_pid",
)


class Plan:
    """Plain values, so that it crosses a socket and costs a fork nothing.

    ``options[network]`` is bwrap's options in three parts: those before the small files of /etc,
    the files as (path, content), and those after.
    """

    __slots__ = _FIELDS

    def __init__(
        self,
        *,
        full: bool,
        own_uid: bool,
        clean_environment: bool,
        seccomp: bytes,
        uid_base: int,
        inside_uid: int,
        bwrap: str,
        options: dict[bool, tuple[tuple[str, ...], tuple[tuple[str, bytes], ...], tuple[str, ...]]],
        masked: tuple[str, ...],
        memory_bytes: int,
        pids: int,
        cpus: float,
        open_files: int,
        file_bytes: int,
        cgroups: tuple[int, dict[str, str]] | None,
        server_pid: int,
    ) -> None:
        self.full = full
        """Root makes the sandboxes: every one gets a user id of its own."""
        self.own_uid = own_uid
        self.clean_environment = clean_environment
        self.seccomp = seccomp
        """The filter, or nothing (a test's mutation)."""
        self.uid_base = uid_base
        self.inside_uid = inside_uid
        self.bwrap = bwrap
        self.options = options
        self.masked = masked
        """Files that the keeper covers once bwrap is done; nothing where bwrap does it."""
        self.memory_bytes = memory_bytes
        self.pids = pids
        self.cpus = cpus
        self.open_files = open_files
        self.file_bytes = file_bytes
        self.cgroups = cgroups
        """(version, folder per controller) as the server prepared them, or None without groups."""
        self.server_pid = server_pid

    def to_packet(self) -> tuple[str, dict[str, Any]]:
        """The plan as a packet."""
        return "plan", {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_packet(cls, packet: tuple[Any, ...]) -> Plan:
        """The plan that ``to_packet`` sent."""
        return cls(**packet[1])

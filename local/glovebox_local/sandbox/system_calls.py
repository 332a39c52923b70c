"""System call numbers per processor: those that the filter refuses, and those that it looks into.

A processor that is not here has no filter. The kernel's newer calls (from 424 on) have one number
everywhere; older ones, and what each processor never had, differ.
"""

from __future__ import annotations

from dataclasses import dataclass

_CLONE3 = 435

# (x86_64, aarch64), None where a processor has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # spying on and steering other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    # wide, fast-moving kernel surface
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "personality": (135, 92),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # the host's keyrings, which no namespace divides
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # files by handle, around the mount tree
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # the machine itself
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "iopl": (172, None),
    "ioperm": (173, None),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "vhangup": (153, 58),
}


@dataclass(frozen=True, slots=True)
class Table:
    """One processor's numbers."""

    architecture: int
    """As the kernel's audit names it: which table a call is looked up in."""
    denied: dict[str, int]
    socket: int
    ioctl: int
    clone: int
    clone3: int = _CLONE3


def _column(position: int) -> dict[str, int]:
    columns = ((name, numbers[position]) for name, numbers in _DENIED.items())
    return {name: number for name, number in columns if number is not None}


TABLES: dict[str, Table] = {
    "x86_64": Table(0xC000_003E, _column(0), socket=41, ioctl=16, clone=56),
    "aarch64": Table(0xC000_00B7, _column(1), socket=198, ioctl=29, clone=220),
}
"""By the machine's name, as ``uname -m`` says it."""

"""The numbers and names that the sandbox service runs with; nothing here is read from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recipe:
    """Parts of the isolation that a test may leave out, to show that the attack tests would notice.

    The command line offers none of these: a service is started with all of them.
    """

    seccomp: bool = True
    """The system call filter."""

    clean_environment: bool = True
    """Nothing of the service's environment reaches a sandbox's first process."""

    own_uid: bool = True
    """Every sandbox has a user id of its own; without, root inside bwrap is root of the host."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What the hosted service limits by plan and purse; nothing here unless it is asked for."""

    creates_per_minute: int | None = None
    """Creations that may follow one another within a minute; one more is answered 429."""

    credits: int | None = None
    """Sandboxes in the service's whole life; after that a create is answered 402."""

    plan_limit: int | None = None
    """Live sandboxes that the plan allows; one more is answered 403."""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Where the service listens, what a sandbox may use, and how patient the service is."""

    api_key: str = field(repr=False)
    """What callers of the control plane must send as X-API-Key (or as a bearer token)."""

    host: str = "127.0.0.1"
    """The address of the control plane and of every sandbox's agent."""

    port: int = 0
    """The control plane's port; 0 takes a free one. Agents always take free ones."""

    runtime_site: Path | None = None
    """A directory made by ``pip install --target``: the sandboxes' site-packages."""

    max_sandboxes: int = 256
    """Live sandboxes at a time; one more is answered 429."""

    spare_sandboxes: int = 2
    """Sandboxes of each kind in use (with and without a network) that stand ready, so that no
    create waits for the kernel."""

    memory_mb: int = 2048
    """Memory of one sandbox with all its processes and files, in MiB (level ``full`` only)."""

    pids: int = 256
    """Processes and threads of one sandbox."""

    cpus: float = 2.0
    """Processors' worth of time for one sandbox (level ``full`` only)."""

    workspace_mb: int = 512
    """Size of /workspace in MiB, also the largest file a sandbox may write."""

    tmp_mb: int = 256
    """Size of /tmp in MiB."""

    shm_mb: int = 64
    """Size of /dev/shm in MiB, as in Docker."""

    open_files: int = 1024
    """Open file descriptors of one process."""

    output_bytes: int = MIB
    """What is kept of each output stream of a command: its head and its tail, half each."""

    drain_seconds: float = 0.1
    """How long a finished command's output may still come, if something holds the stream open."""

    max_body_bytes: int = 16 * MIB
    """The largest JSON body, and the largest file that ``/files/read`` answers."""

    max_upload_bytes: int = 256 * MIB
    """The largest body of ``/files/upload``."""

    create_seconds: float = 30.0
    """How long a sandbox may take to be made before the create fails."""

    kill_seconds: float = 15.0
    """How long a kill may take before its caller hears that it is still going on."""

    max_images: int = 64
    """Images, the service's own two among them; one more is answered 403."""

    images_mb: int = 2048
    """Memory (of uploads: disk) that all images together may take, in MiB. One image may take
    ``workspace_mb``."""

    max_builds: int = 2
    """Builds at a time; others wait their turn."""

    build_seconds: float = 1800.0
    """How long a build may take, from its turn to its end."""

    build_network: bool = True
    """Whether builds have the host's network, as those of the hosted service do."""

    token_seconds: int = 24 * 3600
    """Life of an agent token; the SDK renews one that has less than an hour left."""

    quotas: Quotas = field(default_factory=Quotas)

    without_filter: bool = False
    """Start without a system call filter on a processor that there is none for."""

    flat_errors: bool = False
    """The control plane's errors as the vendor's pages show them, not as its clients parse them."""
    share_images: bool = True
    """Left alone except in tests: without, sandboxes unpack a copy of their image's files."""

    recipe: Recipe = field(default_factory=Recipe)
    """Left alone except in tests."""

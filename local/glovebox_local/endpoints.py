"""Where a running stack can be reached, and how other processes of this user find it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

STATE_DIR_PREFIX = "glovebox-stack-"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Everything that a client of a local stack needs to know."""

    aws_endpoint_url: str
    api_url: str
    sandbox_url: str
    manifest_bucket: str
    data_bucket: str
    topic_arn: str
    state_machine_arn: str
    launch_queue_url: str
    table: str
    region: str
    access_key_id: str
    secret_access_key: str
    isolation: str
    """The level that the sandbox server reached: ``full``, ``no-cgroup`` …"""
    pid: int
    log_dir: str
    started_at: str
    """UTC, ISO 8601."""

    def to_json(self) -> str:
        """As one JSON object, the keys as the fields."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Endpoints:
        """Read what to_json wrote. Raises ValueError when it is something else."""
        document = json.loads(text)
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or not names <= set(document):
            msg = "not the endpoints of a stack"
            raise ValueError(msg)
        return cls(**{name: document[name] for name in names})


def stacks_dir(environment: Mapping[str, str] | None = None) -> Path:
    """The folder of the running stacks' state files, readable by this user only.

    In the user's runtime folder, which the system empties at logout, or else in the cache.
    """
    source = os.environ if environment is None else environment
    runtime = source.get("XDG_RUNTIME_DIR")
    base = Path(runtime) if runtime else Path("~/.cache").expanduser()
    return base / "glovebox" / "stacks"


def publish(endpoints: Endpoints, state_dir: Path | None, folder: Path | None = None) -> Path:
    """Write a stack's state file and return its path.

    ``state_dir`` is the stack's temporary folder, for others to remove if the stack cannot.
    """
    folder = folder or stacks_dir()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    document: dict[str, Any] = json.loads(endpoints.to_json())
    document["state_dir"] = str(state_dir) if state_dir else None
    path = folder / f"{endpoints.pid}.json"
    # Whole or not at all: another process may be reading the folder.
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(document, indent=2), encoding="utf-8")
    partial.replace(path)
    return path


def find_running_stacks(folder: Path | None = None) -> list[Endpoints]:
    """The stacks whose process lives and whose API answers; files left by dead ones are removed."""
    return list(_find(folder or stacks_dir()))


def _find(folder: Path) -> Iterator[Endpoints]:
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            text = path.read_text(encoding="utf-8")
            endpoints = Endpoints.from_json(text)
            state_dir = json.loads(text).get("state_dir")
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
            continue
        if not _is_alive(endpoints.pid):
            path.unlink(missing_ok=True)
            _remove_state(state_dir)
        elif _answers(endpoints.api_url or endpoints.aws_endpoint_url):
            yield endpoints
        else:  # the process is another one, that got the number of the dead
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=1).close()
    except (OSError, ValueError):
        return False
    return True


def _remove_state(state_dir: str | None) -> None:
    """Remove what a killed stack left behind: only a folder of ours, only where we make them."""
    if state_dir is None:
        return
    path = Path(state_dir)
    made_by_us = path.name.startswith(STATE_DIR_PREFIX)
    if made_by_us and path.parent == Path(tempfile.gettempdir()) and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)

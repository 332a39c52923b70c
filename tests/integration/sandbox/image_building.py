"""Building an image over plain HTTP, without the SDK's pauses."""

from __future__ import annotations

import hashlib
import io
import itertools
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.integration.sandbox.client import Answer, Client, request

_numbers = itertools.count()
SIZES = {"cpu": 1, "memory": 512, "diskGB": 1}


def fresh_name() -> str:
    return f"image-{time.time_ns()}-{next(_numbers)}"


def tar_of(files: Mapping[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    """An archive of these files, or of whatever entries are given ready-made."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return whole.getvalue()


def upload(client: Client, archive: bytes, files_hash: str | None = None) -> str:
    """Upload an archive; returns the hash by which steps name it."""
    files_hash = files_hash or hashlib.sha256(archive).hexdigest()
    body = {"files_hash": files_hash, "content_length": len(archive)}
    answer = client.ask("POST", "/v1/templates/files/upload-link", body)
    assert answer.status == 200, answer.raw
    if not answer.body["present"]:
        link = urlsplit(answer.body["upload_url"])
        put = request(
            f"{link.scheme}://{link.netloc}",
            "PUT",
            link.path,
            archive,
            {"Content-Type": "application/gzip"},
        )
        assert put.status == 200, put.raw
    return files_hash


def begin(client: Client, steps: list[dict[str, Any]], **given: Any) -> Answer:
    body = {"name": fresh_name(), "from_image": "base", "steps": steps, **SIZES, **given}
    return client.ask("POST", "/v1/templates/build", body)


def finish(client: Client, build_id: str) -> dict[str, Any]:
    while True:
        answer = client.ask("GET", f"/v1/templates/build/{build_id}/status")
        assert answer.status == 200, answer.raw
        status: dict[str, Any] = answer.body
        if status["status"] != "building":
            return status
        time.sleep(0.02)


def build(client: Client, steps: list[dict[str, Any]], **given: Any) -> dict[str, Any]:
    """A build to its end: its last status, and its log as ``log``."""
    began = begin(client, steps, **given)
    assert began.status == 201, began.raw
    status = finish(client, began.body["build_id"])
    logs = client.ask("GET", f"/v1/templates/build/{began.body['build_id']}/logs").body
    return status | {"log": logs["logs"]}


@contextmanager
def image(client: Client, steps: list[dict[str, Any]], **given: Any) -> Iterator[str]:
    """An image's id, for a while."""
    built = build(client, steps, **given)
    try:
        assert built["status"] == "active", built["log"]
        yield built["template_id"]
    finally:
        client.ask("DELETE", f"/v1/templates/{built['template_id']}")


def run(line: str) -> dict[str, Any]:
    return {"type": "RUN", "args": [line]}


def copy(files_hash: str, target: str = "/workspace", source: str = ".") -> dict[str, Any]:
    return {"type": "COPY", "args": [source, target], "filesHash": files_hash}

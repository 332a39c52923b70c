"""HopX templates as images, hosted and local alike: only the base URL differs.

The SDK's own builder hashes a folder's names and not its files (so that a changed source may get
an old image), waits without an end, and sleeps three seconds at the least; so this adapter makes
the same requests itself: one archive whose name is its digest, and waits of its own.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from typing import Any

import httpx

from glovebox.adapters.hopx_control import NotFoundError, control_call, make_client
from glovebox.domain.errors import SandboxRefused, SandboxUnavailable
from glovebox.ports import Clock

CONTROL_SECONDS = 60
UPLOAD_SECONDS = 120
BUILD_SECONDS = 600
"""HopX publishes a build in one to two minutes; the planner itself has 900 s."""
FIRST_LOOK_SECONDS = 0.02
SLOWEST_LOOK_SECONDS = 3.0
LOOK_GROWTH = 1.5
_RESOURCES = {"cpu": 2, "memory": 2048, "diskGB": 10}
_READY = ("active", "success")
_FAILED = ("failed", "error")
_FOLDER = "/workspace"


class HopxImages:
    """Implements `ports.Images`."""

    def __init__(self, base_url: str, api_key: str, clock: Clock) -> None:
        self._control = make_client(base_url, api_key, CONTROL_SECONDS)
        self._clock = clock

    def bake(self, name: str, base: str, bundle: bytes) -> None:
        """Make an image. Raises SandboxUnavailable or SandboxRefused."""
        give_up_at = self._clock.monotonic() + BUILD_SECONDS
        known = self._find(name)
        if known is None:
            self._build(name, base, bundle, give_up_at)
        self._await_publication(name, give_up_at)

    def remove(self, name: str) -> None:
        """Forget an image; one that is gone already is no error."""
        known = self._find(name)
        if known is None:
            return
        try:
            control_call(lambda: self._delete(str(known["id"])))
        except SandboxRefused as error:
            raise SandboxUnavailable(error.reason) from error

    def _delete(self, image_id: str) -> dict[str, Any]:
        try:
            self._control.delete(f"/v1/templates/{image_id}")
        except NotFoundError:
            pass
        except ValueError:
            pass  # deleted, with an empty answer
        return {}

    def _find(self, name: str) -> dict[str, Any] | None:
        def find() -> dict[str, Any]:
            try:
                return {"found": self._control.get(f"/v1/templates/{name}")}
            except NotFoundError:
                return {"found": None}

        found = control_call(find)["found"]
        if found is not None and not (isinstance(found, Mapping) and found.get("id")):
            raise SandboxUnavailable("the provider's answer about an image is malformed")
        return None if found is None else dict(found)

    def _build(self, name: str, base: str, bundle: bytes, give_up_at: float) -> None:
        file_name = f"bundle-{hashlib.sha256(bundle).hexdigest()[:16]}.tar"
        archive = _archive(file_name, bundle)
        digest = hashlib.sha256(archive).hexdigest()
        self._upload(archive, digest)
        unpack = f"cd {_FOLDER} && tar --no-same-owner -xif {file_name} && rm {file_name}"
        body = {
            "name": name,
            "from_image": base,
            "steps": [
                {"type": "COPY", "args": [file_name, f"{_FOLDER}/"], "filesHash": digest},
                {"type": "RUN", "args": [unpack]},
            ],
            "startCmd": None,
            "readyCmd": None,
            "skipCache": False,
            "update": False,
            **_RESOURCES,
        }
        begun = control_call(lambda: self._control.post("/v1/templates/build", json=body))
        build_id = begun.get("build_id")
        if not isinstance(build_id, str) or not build_id:
            raise SandboxUnavailable("the provider began a build and did not say which")
        self._await(f"/v1/templates/build/{build_id}/status", give_up_at)

    def _upload(self, archive: bytes, digest: str) -> None:
        asked = {"files_hash": digest, "content_length": len(archive)}
        link = control_call(
            lambda: self._control.post("/v1/templates/files/upload-link", json=asked)
        )
        if link.get("present") is True:
            return
        url = link.get("upload_url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise SandboxUnavailable("the provider gave no place to upload to")
        headers = {"Content-Type": "application/gzip"}
        try:
            httpx.put(url, content=archive, headers=headers, timeout=UPLOAD_SECONDS)
        except httpx.HTTPError as error:
            raise SandboxUnavailable(f"the upload failed: {type(error).__name__}") from error

    def _await_publication(self, name: str, give_up_at: float) -> None:
        self._await(f"/v1/templates/{name}", give_up_at)

    def _await(self, path: str, give_up_at: float) -> None:
        pause = FIRST_LOOK_SECONDS
        while True:
            answer = control_call(lambda: self._control.get(path))
            status = answer.get("status")
            if status in _READY and answer.get("is_active") is not False:
                return
            if status in _FAILED:
                raise SandboxRefused(f"the image was not built: {answer.get('error_message')}")
            if self._clock.monotonic() + pause > give_up_at:
                raise SandboxUnavailable(f"the image was not built within {BUILD_SECONDS} s")
            self._clock.sleep(pause)
            pause = min(pause * LOOK_GROWTH, SLOWEST_LOOK_SECONDS)


def _archive(name: str, content: bytes) -> bytes:
    """A gzipped tar of one file, the same for the same content. Hardly compressed: a bundle of
    any size is compressed already, and a small one is sooner sent than squeezed."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w:") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), compresslevel=1, mtime=0)

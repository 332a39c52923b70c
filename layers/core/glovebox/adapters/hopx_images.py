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
from typing import Any
from urllib.parse import quote

import httpx

from glovebox.adapters.hopx_address import may_be_sent_to
from glovebox.adapters.hopx_control import Control, refused_or_unavailable
from glovebox.adapters.hopx_patience import Patience, persist
from glovebox.adapters.hopx_trouble import Trouble, from_exception, from_response
from glovebox.adapters.hopx_wire import Wire
from glovebox.domain.errors import SandboxRefused, SandboxUnavailable
from glovebox.ports import Clock

UPLOAD = Patience(tries=3, try_seconds=120, seconds=240)
BEGIN = Patience(tries=1, try_seconds=30, seconds=30)
BUILD_SECONDS = 600
"""HopX publishes a build in one to two minutes; the planner itself has 900 s."""
BEGIN_TRIES = 3
FAILED_LOOKS = 5
"""In a row: then there is no point in looking on."""
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
        self._control = Control(base_url, api_key, clock)
        self._clock = clock

    def bake(self, name: str, base: str, bundle: bytes) -> None:
        """Make an image. Raises SandboxUnavailable or SandboxRefused."""
        give_up_at = self._clock.monotonic() + BUILD_SECONDS
        try:
            if self._find(name) is None:
                self._build(name, base, bundle, give_up_at)
            self._await(_template_path(name), give_up_at)
        except Trouble as trouble:
            raise refused_or_unavailable(trouble) from trouble

    def remove(self, name: str) -> None:
        """Forget an image; one that is gone already is no error."""
        try:
            known = self._find(name)
            if known is not None:
                self._delete(known)
        except Trouble as trouble:
            raise SandboxUnavailable(trouble.words) from trouble

    def close(self) -> None:
        """Close the connections."""
        self._control.close()

    def _delete(self, image_id: str) -> None:
        try:
            self._control.request(
                "DELETE", _template_path(image_id), worth=lambda t: t.is_passing and not t.empty
            )
        except Trouble as trouble:
            if not trouble.empty and trouble.status not in (404, 410):
                raise

    def _find(self, name: str) -> str | None:
        """The id of an image, where there is one of that name."""
        try:
            known = self._control.request(
                "GET", _template_path(name), sound=lambda told: bool(told.get("id"))
            )
        except Trouble as trouble:
            if trouble.status == 404:
                return None
            raise
        return str(known["id"])

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
        build_id = self._begin(name, body)
        if build_id is not None:
            self._await(f"/v1/templates/build/{quote(build_id, safe='')}/status", give_up_at)

    def _begin(self, name: str, body: dict[str, Any]) -> str | None:
        """The id of the build; None where there is an image of that name by now.

        The name is the key by which a second request is known for the first: where an answer was
        lost the image is looked for, and the build is asked for again only where it is not there.
        """
        for tried in range(1, BEGIN_TRIES + 1):
            try:
                begun = self._control.request("POST", "/v1/templates/build", body, patience=BEGIN)
            except Trouble as trouble:
                if trouble.status == 409:
                    return None
                if not trouble.is_passing or tried == BEGIN_TRIES:
                    raise
                self._clock.sleep(min(trouble.retry_after_seconds or tried, BUILD_SECONDS / 10))
            else:
                build_id = begun.get("build_id")
                if isinstance(build_id, str) and build_id:
                    return build_id
            if self._find(name) is not None:
                return None
        raise Trouble("the provider began a build and did not say which")

    def _upload(self, archive: bytes, digest: str) -> None:
        """Put the archive where the provider wants it; with a new link for every try."""
        asked = {"files_hash": digest, "content_length": len(archive)}

        def upload() -> None:
            link = self._control.request("POST", "/v1/templates/files/upload-link", asked)
            url = self._place(link)
            if url is not None:
                _put(client, url, archive, self._clock)

        # A client of its own: what it sends carries no key.
        with httpx.Client(timeout=UPLOAD.try_seconds, trust_env=False) as client:
            Wire.under(client)
            persist(upload, UPLOAD, self._clock, worth=lambda t: t.is_passing or t.status == 403)

    def _place(self, link: dict[str, Any]) -> str | None:
        """Where to upload to; None where the provider has the file."""
        if link.get("present") is True:
            return None
        url = link.get("upload_url")
        if not isinstance(url, str) or not may_be_sent_to(url, self._control.base_url):
            raise Trouble("the provider gave no sound place to upload to")
        return url

    def _await(self, path: str, give_up_at: float) -> None:
        pause, failed = FIRST_LOOK_SECONDS, 0
        while True:
            try:
                answer = self._control.request("GET", path)
                failed = 0
            except Trouble:
                failed += 1
                if failed >= FAILED_LOOKS:
                    raise
                answer = {}
            status = answer.get("status")
            if status in _READY and answer.get("is_active") is not False:
                return
            if status in _FAILED:
                reason = str(answer.get("error_message"))[:300]
                raise SandboxRefused(f"the image was not built: {reason}")
            if self._clock.monotonic() + pause > give_up_at:
                raise SandboxUnavailable(f"the image was not built within {BUILD_SECONDS} s")
            self._clock.sleep(pause)
            pause = min(pause * LOOK_GROWTH, SLOWEST_LOOK_SECONDS)


def _put(client: httpx.Client, url: str, archive: bytes, clock: Clock) -> None:
    """Raises Trouble, without the URL: who has it may upload."""
    try:
        answer = client.put(url, content=archive, headers={"Content-Type": "application/gzip"})
    except Exception as error:
        trouble = from_exception(error)
        trouble.words = f"the upload failed: {type(error).__name__}"
        raise trouble from None
    if not answer.is_success:
        raise from_response(answer, clock.now())


def _template_path(name: str) -> str:
    return f"/v1/templates/{quote(name, safe='')}"


def _archive(name: str, content: bytes) -> bytes:
    """A gzipped tar of one file, the same for the same content. Hardly compressed: a bundle of
    any size is compressed already, and a small one is sooner sent than squeezed."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w:") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), compresslevel=1, mtime=0)

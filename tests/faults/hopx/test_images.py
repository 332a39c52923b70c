"""Baking an image under faults: it is there once and whole, or it is told that it is not."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import httpx
import pytest
from glovebox.adapters.hopx_images import HopxImages
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.errors import SandboxRefused, SandboxUnavailable
from glovebox.ports import SandboxRequest

from tests.fakes import RealClock
from tests.faults.hopx.laboratory import KEY
from tests.faults.hopx_proxy import Fault, HopxFaultProxy, Kind

pytestmark = pytest.mark.thorough

NAME = "glovebox-under-faults"
BUILD = "/v1/templates/build"
LINK = "/v1/templates/files/upload-link"
LOST = [
    Kind.ANSWERED_504_AFTER,
    Kind.DROPPED_BEFORE,
    Kind.DROPPED_AFTER,
    Kind.SERVER_503,
    Kind.RATE_LIMITED_FLAT,
    Kind.EMPTY_OBJECT,
    Kind.HTML_200,
    Kind.TRUNCATED,
    Kind.JSON_NULL,
]
QUICKLY_TRIED = [Kind.DROPPED_AFTER, Kind.RATE_LIMITED_FLAT, Kind.JSON_NULL]


@pytest.fixture
def content(request: pytest.FixtureRequest) -> bytes:
    """Another for every test: what was uploaded before is not asked for again."""
    return str(request.node.name).encode()


@pytest.fixture
def bundle(content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:") as archive:
        member = tarfile.TarInfo("src/a")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def images(proxy: HopxFaultProxy, server_url: str) -> Iterator[HopxImages]:
    images = HopxImages(proxy.url, KEY, RealClock())
    yield images
    images.close()
    HopxImages(server_url, KEY, RealClock()).remove(NAME)


def on(method: str, path: str, kind: Kind, times: int | None = 2) -> Fault:
    def when(asked: str, at: str) -> bool:
        return asked == method and at.partition("?")[0].startswith(path)

    return Fault(kind, when=when, times=times, seconds=0.01)


def holds(sandboxes: HopxSandboxes) -> str:
    made = sandboxes.create(SandboxRequest(image=NAME, network=False, ttl_seconds=60))
    try:
        return made.run("cat src/a", env={}, timeout_seconds=20).stdout
    finally:
        sandboxes.kill(made.sandbox_id)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        *(("GET", f"/v1/templates/{NAME}", kind) for kind in QUICKLY_TRIED),
        *(("POST", LINK, kind) for kind in QUICKLY_TRIED),
        *(("GET", BUILD, kind) for kind in QUICKLY_TRIED),
        *(("PUT", "/v1/templates/files", kind) for kind in LOST),
        *(("POST", BUILD, kind) for kind in LOST),
    ],
)
def test_an_image_is_whole_whatever_stumbled(
    images: HopxImages,
    sandboxes: HopxSandboxes,
    proxy: HopxFaultProxy,
    server_url: str,
    content: bytes,
    bundle: bytes,
    method: str,
    path: str,
    kind: Kind,
) -> None:
    # A build that is looked after for minutes may be looked after in vain for a while.
    proxy.inject(on(method, path, kind, times=6 if (method, path) == ("GET", BUILD) else 2))
    images.bake(NAME, "code-interpreter", bundle)
    proxy.faults.clear()
    assert proxy.injected[kind]
    assert holds(sandboxes) == content.decode()
    known = httpx.get(f"{server_url}/v1/templates", headers={"X-API-Key": KEY}).json()["data"]
    assert [image["name"] for image in known].count(NAME) == 1


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v1/templates/", Kind.HTML_200),
        ("POST", LINK, Kind.DROPPED_BEFORE),
        ("PUT", "/v1/templates/files", Kind.SERVER_503),
        ("POST", BUILD, Kind.SERVER_503),
    ],
)
def test_an_image_that_cannot_be_made_is_told(
    images: HopxImages,
    proxy: HopxFaultProxy,
    bundle: bytes,
    method: str,
    path: str,
    kind: Kind,
) -> None:
    proxy.inject(on(method, path, kind, times=None))
    with pytest.raises(SandboxUnavailable):
        images.bake(NAME, "code-interpreter", bundle)


def test_an_upload_that_was_refused_is_not_built_of(
    images: HopxImages, proxy: HopxFaultProxy, bundle: bytes
) -> None:
    proxy.inject(on("PUT", "/v1/templates/files", Kind.SERVER_500, times=None))
    with pytest.raises(SandboxUnavailable):
        images.bake(NAME, "code-interpreter", bundle)
    assert proxy.requests["images"] == proxy.forwarded["images"] + 3


@pytest.mark.parametrize("kind", LOST)
def test_an_image_is_removed_whatever_stumbled(
    images: HopxImages,
    sandboxes: HopxSandboxes,
    proxy: HopxFaultProxy,
    bundle: bytes,
    kind: Kind,
) -> None:
    images.bake(NAME, "code-interpreter", bundle)
    proxy.inject(on("DELETE", "/v1/templates", kind))
    images.remove(NAME)
    assert proxy.injected[kind]
    proxy.faults.clear()
    with pytest.raises(SandboxRefused):
        holds(sandboxes)

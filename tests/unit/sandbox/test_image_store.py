"""Uploads and contents: bounded, found by what they hold, and given up oldest first."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

import pytest
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.images.layers import Content
from glovebox_local.sandbox.images.store import Store
from glovebox_local.sandbox.images.uploads import Uploads


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def send(uploads: Uploads, files_hash: str, content: bytes) -> str:
    link = uploads.announce(files_hash, len(content))
    return asyncio.run(uploads.receive(link.token, pieces(content[:3], content[3:])))


def test_an_upload_is_found_by_either_hash_and_reads_from_its_beginning() -> None:
    uploads = Uploads(100, 1000)
    assert send(uploads, "mine", b"content") == digest(b"content")
    assert uploads.digest("mine") == uploads.digest(digest(b"content")) == digest(b"content")
    for _ in range(2):
        archive = uploads.open(digest(b"content"))
        assert os.read(archive.descriptor, 100) == b"content"
        archive.close()
    assert not uploads.has("mine")
    assert uploads.digest("other") is None
    uploads.close()


def test_a_hash_means_the_last_archive_that_came_under_it() -> None:
    uploads = Uploads(100, 1000)
    send(uploads, "mine", b"first")
    send(uploads, "mine", b"second")
    assert uploads.digest("mine") == digest(b"second")


def test_the_oldest_uploads_make_room() -> None:
    uploads = Uploads(100, 100)
    send(uploads, "old", b"a" * 60)
    send(uploads, "new", b"b" * 60)
    assert uploads.digest("old") is None
    assert uploads.digest("new") == digest(b"b" * 60)


def test_archives_are_bounded_in_number() -> None:
    uploads = Uploads(100, 10_000)
    for number in range(300):
        send(uploads, f"h{number}", f"{number}".encode())
    there = [number for number in range(300) if uploads.digest(f"h{number}")]
    assert there == list(range(44, 300))
    uploads.close()


def test_an_old_hash_of_a_forgotten_archive_finds_nothing_and_no_other() -> None:
    uploads = Uploads(100, 100)
    send(uploads, "old", b"a" * 60)
    send(uploads, digest(b"a" * 60), b"b" * 60)
    assert uploads.digest("old") is None


@pytest.mark.parametrize("sent", [b"", b"123456", b"1234"])
def test_an_upload_of_another_size_is_refused_and_uses_the_link_up(sent: bytes) -> None:
    uploads = Uploads(100, 1000)
    link = uploads.announce("h", 5)
    with pytest.raises(ApiError) as refused:
        asyncio.run(uploads.receive(link.token, pieces(sent)))
    assert refused.value.status == 400
    with pytest.raises(ApiError) as used:
        asyncio.run(uploads.receive(link.token, pieces(b"12345")))
    assert used.value.status == 403
    assert uploads.digest("h") is None


def test_links_are_bounded() -> None:
    uploads = Uploads(100, 1000)
    first = uploads.announce("h", 1)
    for _ in range(256):
        last = uploads.announce("h", 1)
    with pytest.raises(ApiError):
        asyncio.run(uploads.receive(first.token, pieces(b"x")))
    assert asyncio.run(uploads.receive(last.token, pieces(b"x"))) == digest(b"x")


def content(key: str, size: int) -> Content:
    return Content(key, (os.open("/dev/null", os.O_RDONLY),), (), size)


def test_a_build_gets_what_room_there_is() -> None:
    store = Store(100)
    assert store.reserve(70) == 70
    assert store.reserve(70) == 30
    assert store.reserve(70) == 0
    store.unreserve(70)
    assert store.reserve(70) == 70


def test_a_content_is_found_and_counted_until_nobody_uses_it() -> None:
    store = Store(100)
    one = content("one", 60).retain()
    store.add(one)
    assert store.find("one") is one
    assert store.reserve(100) == 40
    store.unreserve(40)
    one.retain()
    one.release()
    assert store.find("one") is one
    one.release()
    assert one.closed
    assert store.find("one") is None
    assert store.reserve(100) == 100


def test_a_content_that_another_took_the_place_of_counts_while_it_is_used() -> None:
    store = Store(100)
    old, new = content("same", 30).retain(), content("same", 30).retain()
    store.add(old)
    store.add(new)
    assert store.find("same") is new
    assert store.reserve(100) == 40
    store.unreserve(40)
    old.release()
    assert store.reserve(100) == 70
    new.release()


def test_what_an_image_lies_on_stays_as_long_as_the_image() -> None:
    below = content("below", 50).retain()
    above = Content("above", (os.open("/dev/null", os.O_RDONLY),), (), 50, below.retain()).retain()
    below.release()
    assert not below.closed
    above.release()
    assert (above.closed, below.closed) == (True, True)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.multipart import UploadForm
from hypothesis import given, settings
from hypothesis import strategies as st

TYPE = b"multipart/form-data; boundary=xyz"


def body(content: bytes, path: str = "/tmp/x") -> bytes:
    return (
        b'--xyz\r\nContent-Disposition: form-data; name="path"\r\n\r\n' + path.encode() + b"\r\n"
        b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
        b"Content-Type: application/gzip\r\n\r\n" + content + b"\r\n--xyz--\r\n"
    )


def parse(data: bytes, size: int = 1 << 16, kind: bytes = TYPE) -> UploadForm:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    form = UploadForm(kind)
    asyncio.run(form.read(pieces()))
    return form


@settings(deadline=None, max_examples=60)
@given(content=st.binary(max_size=300), size=st.integers(1, 64))
def test_content_is_whole_however_it_arrives(content: bytes, size: int) -> None:
    tricky = content + b"\r\n--xy\r\n--" + content
    form = parse(body(tricky), size)
    assert b"".join(form.pieces) == tricky
    assert (form.field("path"), form.file_name) == ("/tmp/x", "f")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing of the kind",
        body(b"x")[:-8],
        b"--xyz--\r\n",
        b"--xyz\r\n\r\n",
        b"--xyz\r\n" + b"A" * 20_000 + b": b\r\n\r\n",
        b'--xyz\r\nContent-Disposition: form-data; name="path"\r\n\r\n\xff\r\n--xyz--\r\n',
    ],
)
def test_a_malformed_form_is_refused(data: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        parse(data)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "kind",
    [
        b"",
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data; boundary=" + b"x" * 99,
    ],
)
def test_another_content_type_is_refused(kind: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        parse(body(b"x"), kind=kind)
    assert refused.value.status == 415

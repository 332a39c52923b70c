from __future__ import annotations

import pytest
from glovebox_local.sandbox.output import HeadAndTail
from hypothesis import given
from hypothesis import strategies as st


def kept(limit: int, *pieces: bytes) -> HeadAndTail:
    stream = HeadAndTail(limit)
    for piece in pieces:
        stream.add(piece)
    return stream


def test_what_fits_is_kept_whole() -> None:
    stream = kept(8, b"1234", b"5678")
    assert (stream.text(), stream.dropped) == ("12345678", 0)


def test_what_does_not_fit_keeps_both_ends_and_says_what_is_missing() -> None:
    stream = kept(4, b"abcd", b"efgh")
    assert stream.text() == "ab\n[... 4 bytes left out ...]\ngh"
    assert stream.dropped == 4


def test_nothing_is_nothing() -> None:
    assert kept(4).text() == ""


@pytest.mark.parametrize("limit", [1, 2, 7, 64])
@given(pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=20))
def test_memory_is_bounded_and_every_byte_is_accounted_for(limit: int, pieces: list[bytes]) -> None:
    stream = kept(limit, *pieces)
    whole = b"".join(pieces)
    if len(whole) <= limit:
        assert stream.dropped == 0
        assert stream.text() == whole.decode(errors="replace")
    else:
        assert stream.dropped == len(whole) - limit


def test_what_is_taken_is_kept_no_more_and_makes_room() -> None:
    stream = kept(4, b"abcd")
    assert (stream.take(), stream.text(), stream.take()) == (b"abcd", "", b"")
    stream.add(b"efgh")
    assert (stream.text(), stream.dropped) == ("efgh", 0)

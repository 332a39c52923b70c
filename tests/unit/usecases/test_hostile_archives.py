"""A source archive can be anything: what is not a plain tree of files is refused, and cheaply."""

from __future__ import annotations

import gzip
import io
import secrets
import struct
import tarfile
from collections.abc import Callable

import pytest
from glovebox.domain.errors import SourceError
from glovebox.usecases import source
from glovebox.usecases.source import make_bundle, normalise_source

Fill = Callable[[tarfile.TarFile], None]


def archive(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as made:
        for member in members:
            info, content = member if isinstance(member, tuple) else (member, b"")
            info.size = len(content) or info.size
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **facts: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for fact, value in facts.items():
        setattr(info, fact, value)
    return info


def contents(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as given:
        return {info.name: info for info in given}


REFUSED = {
    "a parent": member("../x"),
    "a parent in the midst": member("a/../../x"),
    "an absolute link": member("x", tarfile.SYMTYPE, linkname="/etc/shadow"),
    "a link out": member("a/x", tarfile.SYMTYPE, linkname="../../x"),
    "a hard link": member("x", tarfile.LNKTYPE, linkname="y"),
    "a hard link out": member("x", tarfile.LNKTYPE, linkname="../../etc/shadow"),
    "a FIFO": member("x", tarfile.FIFOTYPE),
    "a character device": member("x", tarfile.CHRTYPE, devmajor=1, devminor=3),
    "a block device": member("x", tarfile.BLKTYPE, devmajor=8),
    "a type that nobody knows": member("x", b"Z"),
    "a name of 2000 folders": member("a/" * 2000 + "x"),
    "a name of 5000 characters": member("x" * 5000),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_plain_file_inside_is_refused_with_its_name(what: str) -> None:
    with pytest.raises(SourceError, match=r"'(\.\.|a|x)"):
        normalise_source(archive(member("fine"), REFUSED[what]))


def test_what_is_written_lies_below_its_folder_and_belongs_to_nobody() -> None:
    given = archive(
        member("/etc/passwd", mode=0o6777, uid=0, uname="root"),
        member("./a/run.sh", mode=0o755),
        member("a/link", tarfile.SYMTYPE, linkname="run.sh"),
        member("é\n\x1b[31m/-rf", pax_headers={"mtime": "inf"}),
        member("old", mtime=-5),
    )
    made = contents(normalise_source(given))
    assert set(made) == {"src/etc/passwd", "src/a/run.sh", "src/a/link", "src/é\n\x1b[31m/-rf"} | {
        "src/old"
    }
    assert made["src/etc/passwd"].mode == 0o755
    assert made["src/a/run.sh"].mode == 0o755
    assert {(info.uid, info.gid, info.uname) for info in made.values()} == {(0, 0, "")}
    assert made["src/é\n\x1b[31m/-rf"].mtime == source.LATEST_MTIME
    assert made["src/old"].mtime == 0


def test_a_file_may_not_be_written_over_by_a_later_one() -> None:
    with pytest.raises(SourceError, match="'x' twice"):
        normalise_source(archive(member("x"), member("x", tarfile.SYMTYPE, linkname="y")))
    with pytest.raises(SourceError, match="twice"):
        normalise_source(archive(member("x"), member("./x")))


def test_two_million_members_are_refused_by_their_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert source.MAX_MEMBERS == 100_000
    monkeypatch.setattr(source, "MAX_MEMBERS", 1000)
    some = gzip.compress(member("d", tarfile.DIRTYPE).tobuf() * 10_000, 1)
    with pytest.raises(SourceError, match="more than 1000 members"):
        normalise_source(some * 200)


def test_a_bomb_is_refused_by_what_it_says_and_by_what_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert source.MAX_CONTENT_BYTES == 1024**3
    claims = gzip.compress(member("x", size=2**40).tobuf())
    with pytest.raises(SourceError, match="unpacks to more than"):
        normalise_source(claims)
    monkeypatch.setattr(source, "MAX_CONTENT_BYTES", 1000)
    many = archive(*((member(f"x{n}"), b"0" * 300) for n in range(4)))
    with pytest.raises(SourceError, match="unpacks to more than"):
        normalise_source(many)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_a_gibibyte_is_not_read(kind: bytes) -> None:
    """tarfile would: a bomb of one megabyte in the place of a name."""
    with pytest.raises(SourceError, match="a header in the source archive exceeds"):
        normalise_source(gzip.compress(member("x", kind, size=2**30).tobuf()))


def test_an_endless_map_of_a_sparse_file_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_HEADER_BYTES", 20_000)
    monkeypatch.setattr(source._Rationed, "ration", 20_000)
    header = bytearray(member("x", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # the map goes on in the next block
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * 32)
    more = struct.pack("504sB7s", b"00000000001\0" * 42, 1, b"")
    with pytest.raises(SourceError, match="exceeds 20000 bytes"):
        normalise_source(gzip.compress(bytes(header) + more * 100))


def test_what_is_no_archive_is_the_users_to_mend() -> None:
    whole = archive((member("x"), b"abc" * 100_000))
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    broken = bytearray(archive((member("x"), secrets.token_hex(100_000).encode())))
    broken = broken[: len(broken) // 2] + b"\xff" * 50 + broken[len(broken) // 2 + 50 :]
    for content in (
        bytes(broken),
        *(b"", b"PK\3\4", b"\x1f\x8b", b"\x1f\x8b\x08" + b"\xff" * 50),
        *(gzip.compress(b"not a tar" * 100), whole[: len(whole) // 2], bytes(damaged)),
    ):
        with pytest.raises(SourceError):
            normalise_source(content)


def test_an_archive_over_the_limit_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_ARCHIVE_BYTES", 10)
    with pytest.raises(SourceError, match="larger than 10 bytes"):
        normalise_source(b"x" * 11)


def test_what_comes_out_of_a_sandbox_as_an_archive_is_not_unpacked_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "PLAIN_BUNDLE_BYTES", 1000)
    bomb = gzip.compress(b"\0" * 10**7)
    assert make_bundle(bomb[:-8], b"") == bomb[:-8]  # who reads on misses the checksum
    for damaged in (b"no gzip", gzip.compress(b"x" * 100)[:15], b"\x1f\x8b"):
        with pytest.raises(SourceError):
            make_bundle(gzip.compress(b"fine"), damaged)

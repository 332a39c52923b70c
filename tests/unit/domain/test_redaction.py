"""No spelling of a secret that is known survives, wherever it stands and wherever it is cut."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shlex
from collections.abc import Callable
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from glovebox.domain.redaction import MASK, SHORTEST_PIECE, SHORTEST_VALUE, Redactor
from hypothesis import given, settings
from hypothesis import strategies as st

URL = "postgres://ann:p@ss/w%rd é+'\"\\@db:5432/x?a=b&c=<d>"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 in the midst of something": lambda v: base64.b64encode(
        b"user:" + v.encode() + b"\n"
    ).decode(),
    "base64 one further": lambda v: base64.b64encode(b"users:" + v.encode() + b"ab").decode(),
    "base64 for URLs": lambda v: base64.urlsafe_b64encode(v.encode()).decode().rstrip("="),
    "base64 wrapped": lambda v: base64.encodebytes(b"x" * 50 + v.encode()).decode(),
    "URL": quote,
    "URL, all of it": lambda v: quote(v, safe=""),
    "URL in small letters": lambda v: re.sub("%..", lambda found: found[0].lower(), quote(v)),
    "form": quote_plus,
    "JavaScript's encodeURIComponent": lambda v: quote(v, safe="-_.!~*'()"),
    "JSON": json.dumps,
    "JSON as it is": lambda v: json.dumps(v, ensure_ascii=False),
    "JSON with escaped slashes": lambda v: json.dumps(v).replace("/", "\\/"),
    "hex": lambda v: v.encode().hex(),
    "HEX": lambda v: v.encode().hex().upper(),
    "repr": repr,
    "repr of bytes": lambda v: repr(v.encode()),
    "HTML": escape,
    "XML": lambda v: escape(v, quote=False),
    "shell": shlex.quote,
    "in colours": lambda v: f"\x1b[31m{v[:7]}\x1b[0m{v[7:]}",
    "wrapped by a terminal": lambda v: f"{v[:9]}\r\n{v[9:]}",
}

values = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="*…."),
    min_size=SHORTEST_VALUE,
    max_size=60,
)
anything = st.binary(max_size=200)


def pieces(value: str) -> set[str]:
    """Six characters of a spelling are enough to know it again."""
    return {value[i : i + 6] for i in range(len(value) - 5)}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_value_is_hidden_however_it_is_spelled(spelling: str) -> None:
    spelled = SPELLINGS[spelling](URL)
    shown = Redactor([URL]).words(f"before {spelled} after")
    assert shown is not None
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    # What surrounded the value before it was encoded may be left, and nothing of the value.
    assert len(shown) <= len("before ** *** after") + (80 if "wrapped" in spelling else 16), shown
    for alone in (URL, base64.b64encode(URL.encode()).decode(), quote(URL), URL.encode().hex()):
        assert not pieces(alone) & pieces(shown), shown


@settings(deadline=None)  # the machine is shared
@given(value=values, before=anything, after=anything)
def test_a_value_is_hidden_at_any_place(value: str, before: bytes, after: bytes) -> None:
    shown = Redactor([value]).redact(before + value.encode() + after)
    assert value.encode() not in shown.replace(MASK, b"\0")
    assert MASK in shown


@settings(deadline=None)  # the machine is shared
@given(value=values, before=anything, after=anything)
def test_a_value_in_base64_is_hidden_at_any_alignment(
    value: str, before: bytes, after: bytes
) -> None:
    spelled = base64.b64encode(before + value.encode() + after)
    shown = Redactor([value]).redact(b"> " + spelled + b" <")
    assert MASK in shown
    left, right = shown[2:].split(MASK)[0], shown[:-2].split(MASK)[-1].rstrip(b"=")
    # Six bits a character, the last one filled up: what is left is the neighbours' alone.
    assert len(left) * 6 <= len(before) * 8
    assert len(right) * 6 < len(after) * 8 + 6


@settings(deadline=None)  # the machine is shared
@given(
    parts=st.lists(st.sampled_from(["abcabc", "bcabca", "abcabcabc", "cabcab", "x", "ab", "\n"])),
    known=st.sets(st.sampled_from(["abcabc", "bcabca", "abcabcabc", "cabcab"]), min_size=1),
)
def test_overlapping_values_leave_nothing_of_each_other(parts: list[str], known: set[str]) -> None:
    text = "".join(parts)
    shown = Redactor(known).words(text)
    assert shown is not None
    covered = set()
    for value in known:
        for at in range(len(text)):
            if text.startswith(value, at):
                covered |= set(range(at, at + len(value)))
    kept = "".join(c for i, c in enumerate(text) if i not in covered)
    if "\n" in text:
        # A value that is broken over lines is hidden too: then less is left.
        assert not any(value in shown for value in known)
    else:
        assert shown.replace("***", "") == kept


@settings(deadline=None)  # the machine is shared
@given(value=values, head=anything, tail=anything, data=st.data())
def test_a_value_cut_at_an_edge_leaves_less_than_a_piece(
    value: str, head: bytes, tail: bytes, data: st.DataObject
) -> None:
    whole = value.encode()
    at = data.draw(st.integers(0, len(whole)), label="cut at")
    marker = b"\n[\xe2\x80\xa6 %d bytes left out \xe2\x80\xa6]\n" % 123
    shown = Redactor([value]).redact(head + whole[:at] + marker + whole[at:] + tail)
    left, _, right = shown.partition(marker)
    for kept in range(SHORTEST_PIECE, len(whole)):
        assert kept > at or not left.endswith(whole[:kept])
        assert kept > len(whole) - at or not right.startswith(whole[-kept:])


@pytest.mark.parametrize("sign", ["…", "...", "\n[… 77 bytes left out …]\n"])
@pytest.mark.parametrize("spelling", ["as it is", "base64", "hex", "URL"])
def test_each_spelling_is_hidden_on_both_sides_of_a_cut(sign: str, spelling: str) -> None:
    spelled = SPELLINGS[spelling](URL)
    for at in range(SHORTEST_PIECE, len(spelled) - SHORTEST_PIECE - 3):
        shown = Redactor([URL]).words(f"a {spelled[:at]}{sign}{spelled[at:]} b")
        # Encoded, a last character may hold bits of a neighbour, and is followed by padding.
        assert shown is not None
        assert shown.replace("=", "") in (f"a ***{sign}*** b", f"a ***{sign}***{spelled[-3]} b")


@settings(deadline=None)  # the machine is shared
@given(value=values, text=anything)
def test_a_text_without_a_value_is_left_as_it_is(value: str, text: bytes) -> None:
    redactor = Redactor([value])
    if MASK not in redactor.redact(text):
        assert redactor.redact(text) == text
    assert Redactor([]).redact(text) == text


def test_short_values_and_what_only_looks_like_one_are_left_alone() -> None:
    assert Redactor(["12345", ""]).words("12345 is 3132333435") == "12345 is 3132333435"
    assert Redactor(["secret-value"]).words("secret-values? secret-valu…") == "***s? ***…"
    assert Redactor(["secret-value"]).words("a secret, valued sec…") == "a secret, valued sec…"


def test_every_line_of_a_long_value_is_hidden_by_itself() -> None:
    lines = ["-----BEGIN KEY-----", *(secrets.token_urlsafe(48) for _ in range(20)), "short"]
    redactor = Redactor(["\n".join(lines) + "\n"])
    for line in lines[:-1]:
        assert redactor.words(f"  {line}  ") == "  ***  "
        assert redactor.words(base64.b64encode(line.encode()).decode().rstrip("=")) == "***"
    assert redactor.words(json.dumps("\r\n".join(lines[:3]))) == '"***\\r\\n***\\r\\n***"'
    assert redactor.words("\n".join(lines)) == "***"
    assert redactor.words("short") == "short"
    assert redactor.words(lines[1] + lines[2]) == "***"


def test_text_of_any_kind_survives() -> None:
    redactor = Redactor(["geheimnis-é"])
    assert redactor.words("\ud800 geheimnis-é \x00") == "\ud800 *** \x00"
    assert redactor.words(None) is None
    assert redactor.redact(b"\xff\xfe geheimnis-\xc3\xa9 \xff") == b"\xff\xfe *** \xff"


def test_the_work_grows_with_the_text_and_not_with_the_values() -> None:
    """Counted in looks at the text, not in seconds: one per byte, and one more per find."""

    class Counted(bytes):
        looks = 0

        def startswith(self, *args: object) -> bool:
            Counted.looks += 1
            return super().startswith(*args)  # type: ignore[arg-type]

    keys = [secrets.token_hex(32) for _ in range(50)]
    text = Counted(b"".join(f"{key[:20]}...{key}\n".encode() for key in keys) * 60)
    shown = Redactor(keys).redact(text)
    assert not any(key.encode() in shown for key in keys)
    assert Counted.looks < len(text) / 10

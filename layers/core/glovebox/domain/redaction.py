"""Keeps the values of secrets out of what leaves a sandbox: logs and messages.

Test code is free to spell a value in ways that nobody can list (reversed, encrypted, a character
a line), so this is a net under honest mistakes, not a wall against the test's author. What it
knows: the value itself, base64 at each of its three alignments, hexadecimal, URL encoding, the
escapes of JSON, Python, XML and shells; each of a value's lines; all of these interrupted by
colours and line breaks; and the beginning or the end of each, where a text was cut.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import string
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

MASK = b"***"
SHORTEST_VALUE = 6
"""Bytes. A shorter value is left as it is: `1234` or `test` stands in half of all lines, and the
holes would tell more than they hide."""
SHORTEST_PIECE = 4
"""Bytes of a value's beginning or end, at a cut, that are hidden. A shorter piece stays."""

_CUT = re.compile(
    # The launch script's own words between a log's head and tail; what bounds messages; pytest.
    rb"\n?\[\xe2\x80\xa6 \d{1,20} bytes left out \xe2\x80\xa6\]\n?|\xe2\x80\xa6|\.\.\."
)
_INTERRUPTION = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]"  # colours
    rb"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles and links of terminals
    rb"|\r?\n"  # base64 is wrapped at 76 characters, terminals at their width
)
_URL_SAFE = ("", "/", "-_.!~*'()", ";,/?:@&=+$-_.!~*'()#")
"""What Python's quote, and JavaScript's two functions, leave as it is."""

_BASE64 = {bytes([byte]) for byte in b"%s+/-_" % (string.ascii_letters + string.digits).encode()}

Span = tuple[int, int]


class Redactor:
    """Knows the values of a run's secrets. Its time is linear in the text, however many."""

    def __init__(self, values: Iterable[str]) -> None:
        """Prepare for the values of secrets; their names do not matter."""
        self._grown: dict[bytes, Span] = {}
        for value in values:
            for part in _parts(value.encode(errors="surrogatepass")):
                for form in _plain_forms(part):
                    self._grown.setdefault(form, (0, 0))
                self._grown.update(_base64_forms(part))
        self._forms = _Forms(self._grown)
        self._reversed = _Forms([form[::-1] for form in self._grown])

    def redact(self, text: bytes) -> bytes:
        """The text with a mask in place of each value, overlapping ones under one mask."""
        if not self._grown:
            return text
        spans = list(self._spans_in(text))
        without, starts, origins = _without_interruptions(text)
        if len(without) != len(text):
            # Where a character of the shortened text stood in the whole one.
            def origin(at: int) -> int:
                index = bisect_right(starts, at) - 1
                return origins[index] + at - starts[index]

            spans += [(origin(a), origin(b - 1) + 1) for a, b in self._spans_in(without)]
        return _masked(text, spans)

    def words(self, text: str | None) -> str | None:
        """The same for a message."""
        if text is None or not self._grown:
            return text
        return self.redact(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")

    def _spans_in(self, text: bytes) -> Iterator[Span]:
        for start, form in self._forms.found_in(text):
            before, after = self._grown[form]
            end = start + len(form)
            # The character at either side of a base64 form is a mix of the value and a stranger.
            before *= text[max(0, start - 1) : start] in _BASE64
            after *= text[end : end + 1] in _BASE64
            yield start - before, end + after
        yield from self._spans_at_cuts(text)

    def _spans_at_cuts(self, text: bytes) -> Iterator[Span]:
        begin = 0
        for cut in _CUT.finditer(text):
            length = self._forms.cut_length(text[begin : cut.start()])
            yield cut.start() - length, cut.start()
            begin = cut.end()
            following = _CUT.search(text, begin, begin + self._reversed.longest)
            end = following.start() if following else begin + self._reversed.longest
            yield begin, begin + self._reversed.cut_length(text[begin:end][::-1])


class _Forms:
    """Finds any number of byte strings in one pass, by how they begin."""

    def __init__(self, forms: Iterable[bytes]) -> None:
        self._by_head: dict[bytes, list[bytes]] = {}
        self._shorter_heads: set[bytes] = set()
        self.longest = 0
        for form in forms:
            self._by_head.setdefault(form[:SHORTEST_VALUE], []).append(form)
            self._shorter_heads |= {form[:n] for n in range(SHORTEST_PIECE, SHORTEST_VALUE)}
            self.longest = max(self.longest, len(form))

    def found_in(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Each place where one begins, and which: overlapping ones as well."""
        heads, size = self._by_head, SHORTEST_VALUE
        for at in [i for i in range(len(text) - size + 1) if text[i : i + size] in heads]:
            for form in heads[text[at : at + size]]:
                if text.startswith(form, at):
                    yield at, form

    def cut_length(self, text: bytes) -> int:
        """How many of the text's last bytes begin one that is not whole; 0 where none does."""
        heads, size = self._by_head, SHORTEST_VALUE
        for at in range(max(0, len(text) - self.longest), len(text) - SHORTEST_PIECE + 1):
            if len(text) - at < size:
                if text[at:] in self._shorter_heads:
                    return len(text) - at
            elif text[at : at + size] in heads:
                rest = text[at:]
                if any(form.startswith(rest) for form in heads[rest[:size]]):
                    return len(rest)
        return 0


def _parts(value: bytes) -> set[bytes]:
    """The value, and each of its lines: a key file is printed whole or a line at a time."""
    parts = {value, value.strip(), *(line.strip() for line in value.splitlines())}
    return {part for part in parts if len(part) >= SHORTEST_VALUE}


def _plain_forms(part: bytes) -> set[bytes]:
    text = part.decode(errors="replace")
    encoded = {quote(part, safe=safe) for safe in _URL_SAFE} | {quote_plus(part)}
    lowered = {re.sub("%..", lambda found: found[0].lower(), form) for form in encoded}
    spelled = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    spelled |= {form.replace("/", "\\/") for form in spelled}
    spelled |= {repr(text)[1:-1], repr(part)[2:-1], ascii(text)[1:-1]}
    spelled |= {escape(text), escape(text, {'"': "&quot;", "'": "&#x27;"})}
    spelled |= {escape(text, {'"': "&#34;", "'": "&#39;"}), shlex.quote(text).strip("'")}
    forms = {form.encode(errors="surrogatepass") for form in encoded | lowered | spelled}
    forms |= {part, part.hex().encode(), part.hex().upper().encode()}
    return {form for form in forms if len(form) >= SHORTEST_VALUE}


def _base64_forms(part: bytes) -> Mapping[bytes, Span]:
    """The characters that only the value decides, wherever it stands in what was encoded, and
    how many at either side it decides together with its neighbours."""
    forms: dict[bytes, Span] = {}
    for alignment, strangers in ((0, 0), (1, 2), (2, 3)):
        bits = (alignment + len(part)) * 8
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            form = encode(bytes(alignment) + part)[strangers : bits // 6]
            forms[form] = (1 if alignment else 0, 1 if bits % 6 else 0)
    return {form: grown for form, grown in forms.items() if len(form) >= SHORTEST_VALUE}


def _without_interruptions(text: bytes) -> tuple[bytes, list[int], list[int]]:
    """The text without colours and line breaks; where its pieces start, in it and in `text`."""
    pieces: list[bytes] = []
    starts: list[int] = []
    origins: list[int] = []
    begin = length = 0
    for found in (*_INTERRUPTION.finditer(text), None):
        piece = text[begin : found.start() if found else None]
        if piece:
            pieces.append(piece)
            starts.append(length)
            origins.append(begin)
            length += len(piece)
        begin = found.end() if found else begin
    return b"".join(pieces), starts, origins


def _masked(text: bytes, spans: list[Span]) -> bytes:
    out: list[bytes] = []
    end = 0
    for start, stop in sorted(span for span in spans if span[0] < span[1]):
        if start > end or not out:
            # Neighbours that touch share a mask as well: a border would tell of a length.
            out += [text[end:start] if out else text[:start], MASK]
        end = max(end, stop)
    return b"".join([*out, text[end:]]) if out else text

"""The one form that the API takes: a file and where to put it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from glovebox_local.sandbox.http import ApiError

_MAX_FIELD_BYTES = 8 * 1024
_MAX_PARTS = 8
_BOUNDARY_MAX = 70  # RFC 2046


class UploadForm:
    """The parts of a ``multipart/form-data`` body with one file, parsed as it arrives."""

    def __init__(self, content_type: bytes) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= _BOUNDARY_MAX:
            message = "the body must be multipart/form-data with a boundary"
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)
        self.pieces: list[bytes] = []
        """The file's content, in order."""
        self.file_name: str | None = None
        """What the sender calls the file; None until a file part came."""
        self._fields: dict[str, bytes] = {}
        self._parts = 0
        self._complete = False
        self._part = ""
        self._header = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_header_begin": self._begin_header,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_end": self._end,
            },
        )

    async def read(self, body: AsyncIterator[bytes]) -> None:
        """Take the whole body. Raises ``ApiError`` 400 for a malformed or incomplete one."""
        try:
            async for piece in body:
                self._parser.write(piece)
        except FormParserError as error:
            raise _malformed(str(error)) from error
        if not self._complete or self.file_name is None:
            raise _malformed("it ends too early, or holds no file")

    def field(self, name: str) -> str | None:
        """A field's text, None if it is absent."""
        value = self._fields.get(name)
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError as error:
            raise _malformed(f"{name} is not UTF-8") from error

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise _malformed("too many parts")
        self._headers = {}

    def _begin_header(self) -> None:
        self._header = [b"", b""]

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]
        self._bound(self._header[0])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]
        self._bound(self._header[1])

    def _end_header(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._part = options.get(b"name", b"").decode(errors="replace")
        if self._part == "file":
            if self.file_name is not None:
                raise _malformed("more than one file")
            self.file_name = options.get(b"filename", b"").decode(errors="replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part == "file":
            self.pieces.append(data[start:end])
            return
        self._fields[self._part] = self._fields.get(self._part, b"") + data[start:end]
        self._bound(self._fields[self._part])

    def _end(self) -> None:
        self._complete = True

    def _bound(self, value: bytes) -> None:
        if len(value) > _MAX_FIELD_BYTES:
            raise _malformed(f"a field or header exceeds {_MAX_FIELD_BYTES} bytes")


def _malformed(what: str) -> ApiError:
    return ApiError(400, "INVALID_REQUEST", f"malformed form: {what}")

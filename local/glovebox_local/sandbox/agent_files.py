"""The agent's files: thin, for what is delicate about them is in ``files``."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable

from glovebox_local.sandbox import checks, recipe
from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError, Reply, Request, reply_json
from glovebox_local.sandbox.multipart import UploadForm
from glovebox_local.sandbox.programs import Programs
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.settings import SandboxSettings

Handler = Callable[[Request, Sandbox], Awaitable[Reply]]

_PIECE_BYTES = 256 * 1024
_REMOVE_SECONDS = 60.0


class FileRoutes:
    """``/files/*``."""

    def __init__(self, settings: SandboxSettings, programs: Programs) -> None:
        self._settings = settings
        self._programs = programs
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", "/files/write"): self._write,
            ("POST", "/files/upload"): self._upload,
            ("GET", "/files/read"): self._read,
            ("GET", "/files/download"): self._download,
            ("GET", "/files/exists"): self._exists,
            ("GET", "/files/list"): self._list,
            ("POST", "/files/mkdir"): self._mkdir,
            ("DELETE", "/files/remove"): self._remove,
        }

    async def _write(self, request: Request, sandbox: Sandbox) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        path = checks.text(body, "path")
        content = checks.text_of_file(body)
        if body.get("encoding") == "base64":
            try:
                data = base64.b64decode(content, validate=True)
            except (binascii.Error, ValueError) as error:
                raise checks.invalid("content is not base64") from error
        else:
            data = content.encode()
        replace = checks.flag(body, "overwrite", True)
        size = sandbox.files.write(path, [data], checks.file_mode(body), replace=replace)
        return _done("written", path, size)

    async def _upload(self, request: Request, sandbox: Sandbox) -> Reply:
        form = UploadForm(request.headers.get(b"content-type", b""))
        await form.read(request.pieces(self._settings.max_upload_bytes))
        path = form.field("path") or f"{recipe.HOME}/"
        if path.endswith("/"):
            path += (form.file_name or "").rpartition("/")[2] or "upload"
        size = sandbox.files.write(path, form.pieces, replace=True)
        return _done("uploaded", path, size)

    async def _read(self, request: Request, sandbox: Sandbox) -> Reply:
        path = request.query("path")
        data = sandbox.files.read(path, self._settings.max_body_bytes)
        content = data.decode(errors="replace")
        return reply_json({"content": content, "path": path, "size": len(data)})

    async def _download(self, request: Request, sandbox: Sandbox) -> Reply:
        descriptor, size = sandbox.files.open(request.query("path"))
        headers = [(b"content-disposition", b"attachment"), (b"x-content-type-options", b"nosniff")]
        body = _pieces(descriptor, size)
        return Reply(body, 200, b"application/octet-stream", headers, size)

    async def _exists(self, request: Request, sandbox: Sandbox) -> Reply:
        path = request.query("path")
        kind = sandbox.files.kind(path)
        is_directory = kind is not None and stat.S_ISDIR(kind)
        return reply_json({"exists": kind is not None, "path": path, "is_directory": is_directory})

    async def _list(self, request: Request, sandbox: Sandbox) -> Reply:
        path = request.query("path", recipe.HOME)
        files = sandbox.files.list(path)
        return reply_json({"files": files, "count": len(files), "path": path})

    async def _mkdir(self, request: Request, sandbox: Sandbox) -> Reply:
        path = checks.text(await request.json(self._settings.max_body_bytes), "path")
        sandbox.files.make_directories(path)
        return _done("created", path, 0)

    async def _remove(self, request: Request, sandbox: Sandbox) -> Reply:
        path = request.query("path")
        kind = sandbox.files.kind(path)
        if kind is None:
            raise ApiError(404, "FILE_NOT_FOUND", "there is no such file or directory", path=path)
        if not stat.S_ISDIR(kind):
            sandbox.files.remove_file(path)
            return _done("removed", path, 0)
        # A tree is removed from inside: it may be any size, and it may change meanwhile.
        command = ["rm", "-rf", "--", sandbox.files.absolute(path)]
        process, code = await self._programs.run(sandbox, command, "/", {}, _REMOVE_SECONDS)
        if code:
            reason = process.stderr.kept.text()
            raise ApiError(403, "PERMISSION_DENIED", f"not removed: {reason}", path=path)
        return _done("removed", path, 0)


async def _pieces(descriptor: int, size: int) -> AsyncIterator[bytes]:
    """``size`` bytes, whatever becomes of the file meanwhile: that much was announced."""
    try:
        while size:
            piece = os.read(descriptor, min(size, _PIECE_BYTES)) or b"\0" * min(size, _PIECE_BYTES)
            size -= len(piece)
            yield piece
    finally:
        os.close(descriptor)


def _done(what: str, path: str, size: int) -> Reply:
    return reply_json(
        {"success": True, "message": what, "path": path, "size": size, "timestamp": now()}
    )

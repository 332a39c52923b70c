"""Files of a sandbox, reached from the host without ever being led out of the sandbox.

The code in a sandbox may put anything in place of anything at any time. So every name is opened by
``openat2`` beneath a descriptor of /workspace or /tmp (no links, no way up, no other mount), what
was opened is looked at before it is used, and root acts as the sandbox's own user meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from glovebox_local.sandbox import linux
from glovebox_local.sandbox.http import ApiError

ROOTS = ("/workspace", "/tmp")  # noqa: S108 - the sandbox's own
MAX_LISTED = 10_000

_REFUSALS = {
    errno.ENOENT: (404, "FILE_NOT_FOUND", "there is no such file or directory"),
    errno.ELOOP: (403, "PATH_NOT_ALLOWED", "symbolic links are not followed"),
    errno.EXDEV: (403, "PATH_NOT_ALLOWED", "the path leads out of its folder"),
    errno.EACCES: (403, "PERMISSION_DENIED", "the sandbox's user may not do that"),
    errno.EPERM: (403, "PERMISSION_DENIED", "the sandbox's user may not do that"),
    errno.ENXIO: (403, "PATH_NOT_ALLOWED", "not a regular file"),
    errno.EISDIR: (400, "INVALID_PATH", "a directory"),
    errno.ENOTDIR: (400, "INVALID_PATH", "not a directory"),
    errno.ENAMETOOLONG: (400, "INVALID_PATH", "the name is too long"),
    errno.EEXIST: (409, "FILE_ALREADY_EXISTS", "it exists already"),
    errno.ENOSPC: (507, "INSUFFICIENT_STORAGE", "the sandbox's file system is full"),
}


class SandboxFiles:
    """/workspace and /tmp of one live sandbox.

    Every method raises ``ApiError``: 403 PATH_NOT_ALLOWED for a path elsewhere or through a link,
    404 FILE_NOT_FOUND, 507 when the sandbox's file system is full.
    """

    def __init__(self, first_pid: int, uid: int | None) -> None:
        """``uid`` is the sandbox's user on the host, None if it is the service's own."""
        self._uid = uid
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        self._folders = {root: os.open(f"/proc/{first_pid}/root{root}", flags) for root in ROOTS}

    def folders(self) -> Iterable[int]:
        """A descriptor of each folder, for looking at its file system."""
        return self._folders.values()

    def close(self) -> None:
        """Let go of the folders; until then their memory is not given back."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders = {}

    def open_system(self, path: str, flags: int) -> int:
        """Open a path below /, for /proc and /dev, which the sandbox's own code cannot replace."""
        with _refusing(path), self._as_owner():
            if not self._folders:
                raise ApiError(410, "SANDBOX_GONE", "the sandbox is gone")
            # Up from an open folder: a process id could be another process's by now.
            return os.open(f"../{path}", flags, dir_fd=self._folders[ROOTS[0]])

    def open_folder(self, path: str) -> int:
        """Hold on to a file or directory, without reading it; the descriptor is the caller's."""
        with self._opened(path, os.O_PATH) as descriptor:
            return os.dup(descriptor)

    def space(self) -> tuple[int, int]:
        """(size, free) of /workspace in bytes."""
        with self._opened(ROOTS[0], os.O_PATH) as descriptor:
            found = os.fstatvfs(descriptor)
            return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    def write(self, path: str, pieces: list[bytes], mode: int = 0o644, *, replace: bool) -> int:
        """Create or replace a regular file; returns its size in bytes."""
        exclusive = 0 if replace else os.O_EXCL
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | exclusive
        try:
            with self._opened(path, flags, mode) as descriptor:
                _regular(descriptor, path)
                os.ftruncate(descriptor, 0)
                size = sum(_write_all(descriptor, piece) for piece in pieces)
                os.fchmod(descriptor, mode)
        except ApiError as error:
            if error.code == "FILE_NOT_FOUND":
                folder = "the directory to write into does not exist"
                raise ApiError(404, "DIRECTORY_NOT_FOUND", folder, path=path) from error
            raise
        return size

    def open(self, path: str) -> tuple[int, int]:
        """Open a regular file to read; returns (descriptor, size), the descriptor the caller's."""
        with self._opened(path, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            size = _regular(descriptor, path).st_size
            return os.dup(descriptor), size

    def read(self, path: str, limit: int) -> bytes:
        """A whole regular file; 413 if it is larger than ``limit``."""
        descriptor, size = self.open(path)
        try:
            if size > limit:
                raise ApiError(413, "FILE_TOO_LARGE", f"the file exceeds {limit} bytes", path=path)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(limit)
        finally:
            os.close(descriptor)

    def kind(self, path: str) -> int | None:
        """The mode bits of what is there (a link is a link), None if nothing is."""
        try:
            with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as descriptor:
                return os.fstat(descriptor).st_mode
        except ApiError as error:
            if error.code in ("FILE_NOT_FOUND", "INVALID_PATH"):
                return None
            raise

    def list(self, path: str) -> list[dict[str, Any]]:
        """What a directory holds, sorted by name, ``MAX_LISTED`` entries at most."""
        found = []
        flags = os.O_RDONLY | os.O_DIRECTORY
        with self._opened(path, flags) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    found.append(_describe(path, entry))
                if len(found) >= MAX_LISTED:
                    break
        return sorted(found, key=lambda file: str(file["name"]))

    def absolute(self, path: str) -> str:
        """A path as the sandbox's own processes would name it."""
        root, below = self._split(path)
        return f"{root}/{below}".rstrip("/")

    def make_directories(self, path: str) -> None:
        """Create a directory and the missing ones above it."""
        root, below = self._split(path)
        made = root
        for name in (part for part in below.split("/") if part not in ("", ".")):
            with (
                self._opened(made, os.O_PATH | os.O_DIRECTORY) as descriptor,
                self._as_owner(),
                contextlib.suppress(FileExistsError),
            ):
                os.mkdir(name, 0o755, dir_fd=descriptor)
            made = f"{made}/{name}"
        with self._opened(made, os.O_PATH | os.O_DIRECTORY):
            pass

    def remove_file(self, path: str) -> None:
        """Remove anything but a directory; a link itself, never what it names."""
        root, below = self._split(path)
        folder, _, name = below.rstrip("/").rpartition("/")
        with (
            self._opened(f"{root}/{folder}", os.O_PATH | os.O_DIRECTORY) as descriptor,
            self._as_owner(),
        ):
            os.unlink(name, dir_fd=descriptor)

    def _split(self, path: str) -> tuple[str, str]:
        """(root, path below it); a relative path is one below /workspace."""
        whole = path if path.startswith("/") else f"{ROOTS[0]}/{path}"
        for root in ROOTS:
            if whole == root or whole.startswith(f"{root}/"):
                return root, whole[len(root) :].strip("/")
        message = f"only paths in {' and '.join(ROOTS)} are allowed"
        raise ApiError(403, "PATH_NOT_ALLOWED", message, path=path)

    @contextlib.contextmanager
    def _opened(self, path: str, flags: int, mode: int = 0) -> Iterator[int]:
        root, below = self._split(path)
        if not path or "\0" in path:
            raise ApiError(400, "INVALID_PATH", "a path has no NUL and at least one character")
        with _refusing(path):
            if not self._folders:
                raise ApiError(410, "SANDBOX_GONE", "the sandbox is gone")
            name = os.fsencode(below) or b"."
            with self._as_owner():
                descriptor = linux.open_beneath(self._folders[root], name, flags, mode)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def _as_owner(self) -> Iterator[None]:
        """Act with the sandbox's identity: its permissions, and files that belong to it."""
        if self._uid is None:
            yield
            return
        linux.set_filesystem_identity(self._uid, self._uid)
        try:
            yield
        finally:
            linux.set_filesystem_identity(0, 0)


@contextlib.contextmanager
def _refusing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        status, code, message = _REFUSALS.get(
            error.errno or 0, (400, "INVALID_PATH", error.strerror or "refused")
        )
        raise ApiError(status, code, message, path=path) from error


def _regular(descriptor: int, path: str) -> os.stat_result:
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        raise ApiError(400, "INVALID_PATH", "a directory", path=path)
    if not stat.S_ISREG(found.st_mode):
        raise ApiError(403, "PATH_NOT_ALLOWED", "not a regular file", path=path)
    return found


def _write_all(descriptor: int, piece: bytes) -> int:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(piece)


def _describe(folder: str, entry: os.DirEntry[str]) -> dict[str, Any]:
    found = entry.stat(follow_symlinks=False)
    is_directory = stat.S_ISDIR(found.st_mode)
    modified = datetime.fromtimestamp(found.st_mtime, UTC).isoformat()
    # Two of them twice: the JavaScript SDK has other names for these.
    return {
        "name": entry.name,
        "path": f"{folder.rstrip('/')}/{entry.name}",
        "size": found.st_size,
        "is_directory": is_directory,
        "is_dir": is_directory,
        "permissions": stat.filemode(found.st_mode),
        "modified_time": modified,
        "modified": modified,
    }

"""How code of each language is run: by which program, and with the code as its input.

Code travels as a sealed file in memory: never as an argument, which every process of the sandbox
could read, and never through a shell's quoting.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from glovebox_local.sandbox import checks
from glovebox_local.sandbox.http import ApiError

# The script is opened a second time by its name, so that what it starts reads nothing of it.
_BASH = "exec 3<&0 </dev/null; exec bash /dev/fd/3"
_PROGRAMS = {
    "python": ["python", "-u", "-"],
    "javascript": ["node", "-"],
    "bash": ["bash", "-c", _BASH],
}
_OTHER_NAMES = {"python3": "python", "py": "python", "js": "javascript", "node": "javascript"} | {
    "sh": "bash",
    "shell": "bash",
}
MAX_CODE_BYTES = 4 * 1024 * 1024
"""Code is held in the service's memory while it runs; data belongs in files."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: a program, perhaps code for it to read, and what people see of it."""

    argv: list[str]
    language: str
    shown: str
    code: str | None = None

    @contextlib.contextmanager
    def input(self) -> Iterator[int | None]:
        """A descriptor to read the code from, None if there is none."""
        if self.code is None:
            yield None
            return
        descriptor = os.memfd_create("code", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(self.code.encode())
            os.lseek(descriptor, 0, os.SEEK_SET)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            yield descriptor
        finally:
            os.close(descriptor)


def language_of(body: dict[str, Any]) -> str:
    """``language``, python if it is not said. Raises ``ApiError`` 400 for one that is not there."""
    said = checks.text(body, "language", "python").lower()
    language = _OTHER_NAMES.get(said, said)
    if language not in _PROGRAMS:
        known = ", ".join(_PROGRAMS)
        raise ApiError(400, "LANGUAGE_NOT_SUPPORTED", f"language must be one of {known}")
    return language


def code_of(body: dict[str, Any]) -> str:
    """``code``. Raises ``ApiError`` 400, and 413 for more than ``MAX_CODE_BYTES``."""
    code = checks.text(body, "code")
    if not code.strip():
        raise checks.invalid("code is empty")
    if len(code.encode()) > MAX_CODE_BYTES:
        raise ApiError(413, "CODE_TOO_LONG", f"code exceeds {MAX_CODE_BYTES} bytes")
    return code


def program_for(language: str, code: str) -> Program:
    """A process of its own for this code."""
    return Program(_PROGRAMS[language], language, _PROGRAMS[language][0], code)


def explained(error: ApiError, language: str) -> ApiError:
    """The same refusal; where the language's program is missing, it says so."""
    if error.code != "COMMAND_FAILED":
        return error
    program = _PROGRAMS[language][0]
    message = f"{language} needs {program}, and there is none in this sandbox: {error.message}"
    return ApiError(400, "LANGUAGE_NOT_AVAILABLE", message)

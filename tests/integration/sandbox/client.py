"""A client that shows the whole answer; the SDK's is for the tests of the SDK."""

from __future__ import annotations

import http.client
import json
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

API_KEY = "key-for-tests-0123456789"
# Small enough that an attack on a limit is over in a moment.
SMALL = (
    *("--memory-mb", "256", "--pids", "64", "--workspace-mb", "64", "--tmp-mb", "32"),
    *("--max-sandboxes", "80"),
)
SMALL_SETTINGS = "memory_mb=256, pids=64, workspace_mb=64, tmp_mb=32, max_sandboxes=80"
"""The same, as Python's keyword arguments."""


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers, and the body as it was and as JSON."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


def request(
    url: str,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own; a body that is not bytes is sent as JSON."""
    sent = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, response.read())
    finally:
        connection.close()


@dataclass(frozen=True)
class Box:
    """A live sandbox."""

    client: Client
    id: str
    url: str
    token: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        return request(self.url, method, path, body, sent)

    def command(
        self, line: str, *, timeout: float = 30, env: dict[str, str] | None = None
    ) -> Answer:
        body = {"command": "bash", "args": ["-c", line], "timeout": timeout, "env": env or {}}
        return self.ask("POST", "/commands/run", body)

    def shell(self, line: str) -> str:
        """What a command that must be answered printed on both streams."""
        answer = self.command(line)
        assert answer.status == 200, answer.raw
        printed: str = answer.body["stdout"] + answer.body["stderr"]
        return printed.strip()

    def python(self, code: str) -> str:
        """What a program printed on both streams."""
        body = {"command": "python", "args": ["-c", textwrap.dedent(code)], "timeout": 30}
        answer = self.ask("POST", "/commands/run", body)
        assert answer.status == 200, answer.raw
        printed: str = answer.body["stdout"] + answer.body["stderr"]
        return printed.strip()

    def file(self, action: str, path: str, method: str = "GET") -> Answer:
        return self.ask(method, f"/files/{action}?path={quote(path)}")

    def write(self, path: str, content: str) -> Answer:
        return self.ask("POST", "/files/write", {"path": path, "content": content})

    def kill(self) -> Answer:
        return self.client.ask("DELETE", f"/v1/sandboxes/{self.id}")


@dataclass(frozen=True)
class Client:
    """The control plane."""

    url: str

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return request(self.url, method, path, body, {"X-API-Key": API_KEY})

    def create(self, **given: Any) -> Box:
        body = {"template_name": "base", "internet_access": False, "timeout_seconds": 120} | given
        answer = self.ask("POST", "/v1/sandboxes", body)
        assert answer.status == 201, answer.raw
        made = answer.body
        return Box(self, made["id"], made["public_host"], made["auth_token"])


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether a condition that no event announces holds before the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


ERRNO_OF = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def errno_of(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return "ALLOWED" if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""
"""For programs in a sandbox: a system call's errno by name, or ALLOWED."""

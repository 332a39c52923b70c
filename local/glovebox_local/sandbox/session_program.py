"""The Python session of a sandbox: this file runs inside, started by ``sessions``, as a program.

It reads requests from the socket that is its input and answers each: 4 bytes of length, then JSON.
Code runs in one ``__main__`` that lives as long as the process; what it prints goes to the
process's own two streams. It imports nothing of ours and little else: a session starts often.
"""

from __future__ import annotations

import ast
import base64
import builtins
import contextlib
import json
import linecache
import os
import socket
import sys
import traceback
import types
from typing import Any

_MAX_REPLY_CHARACTERS = 3 * 1024 * 1024
_MAX_RESULT_CHARACTERS = 256 * 1024
_MAX_REMEMBERED_CELLS = 200
_MAX_ROWS = 1000
_COROUTINE = 0x80  # inspect.CO_COROUTINE: the code has an await at its top level
_REPRESENTATIONS = (
    ("html", "_repr_html_"),
    ("markdown", "_repr_markdown_"),
    ("svg", "_repr_svg_"),
    ("png", "_repr_png_"),
    ("json", "_repr_json_"),
)
_MIME_NAMES = {
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "application/json": "json",
    "application/vnd.plotly.v1+json": "json",
}


class Session:
    """One namespace and the cells that run in it."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")
        self.module.__dict__["__builtins__"] = builtins
        sys.modules["__main__"] = self.module
        builtins.display = self.display  # type: ignore[attr-defined]
        self.cells = 0
        self.outputs: dict[str, Any] = {}
        self._loop: Any = None

    def run(self, code: str) -> dict[str, Any]:
        """Run one cell; the answer says how it ended and what it showed."""
        self.outputs = {}
        self.cells += 1
        name = f"<cell {self.cells}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        linecache.cache.pop(f"<cell {self.cells - _MAX_REMEMBERED_CELLS}>", None)
        exit_code = 0
        try:
            self._run(code, name)
        except SystemExit as end:
            exit_code = _exit_code(end)
        except BaseException as error:
            exit_code = 1
            _show(error, name)
        _flush()
        return {"exit_code": exit_code, **self.outputs}

    def display(self, *values: Any) -> None:
        """Show values as rich as they can be; of each kind the last one counts."""
        for value in values:
            rich = _rich(value)
            self.outputs.update(rich)
            if not rich:
                print(repr(value))

    def _run(self, code: str, name: str) -> None:
        tree = ast.parse(code, name)
        last = tree.body[-1] if tree.body else None
        shown = None
        if isinstance(last, ast.Expr) and not code.rstrip().endswith(";"):
            shown = ast.Expression(last.value)
            tree.body.pop()
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._execute(compile(tree, name, "exec", flags, dont_inherit=True))
        if shown is not None:
            value = self._execute(compile(shown, name, "eval", flags, dont_inherit=True))
            if value is not None:
                self.module.__dict__["_"] = value
                self.outputs["result"] = repr(value)[:_MAX_RESULT_CHARACTERS]
                self.outputs.update(_rich(value))
        self._show_figures()

    def _execute(self, code: types.CodeType) -> Any:
        value = eval(code, self.module.__dict__)  # noqa: S307 - running code is the point
        if not code.co_flags & _COROUTINE:
            return value
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(value)

    def _show_figures(self) -> None:
        """Matplotlib's open figures: the last one is the cell's picture."""
        plots = sys.modules.get("matplotlib.pyplot")
        if plots is None:
            return
        import io

        for number in plots.get_fignums():
            image = io.BytesIO()
            plots.figure(number).savefig(image, format="png", bbox_inches="tight")
            self.outputs["png"] = base64.b64encode(image.getvalue()).decode()
        plots.close("all")


def _rich(value: Any) -> dict[str, Any]:
    """What a value offers beside its plain text; one that fails at it offers nothing."""
    found: dict[str, Any] = {}
    if isinstance(value, type):
        return found
    for key, method in _REPRESENTATIONS:
        content = _ask(value, method)
        if content is not None:
            found[key] = content
    bundle = _ask(value, "_repr_mimebundle_")
    for mime, content in bundle.items() if isinstance(bundle, dict) else ():
        if mime in _MIME_NAMES:
            found[_MIME_NAMES[mime]] = content
    if type(value).__name__ == "DataFrame" and type(value).__module__.startswith("pandas"):
        with contextlib.suppress(Exception):  # what JSON cannot hold has its HTML still
            text = value.head(_MAX_ROWS).to_json(orient="split", date_format="iso")
            found["dataframe"] = json.loads(text)
    return {key: plain for key, content in found.items() if (plain := _plain(key, content))}


def _ask(value: Any, method: str) -> Any:
    try:
        content = getattr(value, method)()
    except Exception:
        return None
    return content[0] if isinstance(content, tuple) else content


def _plain(key: str, content: Any) -> Any:
    """As the answer carries it: pictures in base64, JSON as an object, all else as text."""
    if key == "png" and isinstance(content, bytes):
        return base64.b64encode(content).decode()
    if key in ("json", "dataframe"):
        try:
            plain = json.loads(json.dumps(content, allow_nan=False))
        except (TypeError, ValueError):
            return None
        return plain if isinstance(plain, dict) else {"value": plain}
    return content if isinstance(content, str) else None


def _show(error: BaseException, name: str) -> None:
    """Print a traceback that begins in the cell, not in this file."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != name:
        frames = frames.tb_next
    try:
        traceback.print_exception(type(error), error, frames)
    except Exception:
        os.write(2, f"{type(error).__name__}\n".encode(errors="replace"))


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the code may have put anything in their place
            stream.flush()


def _enter(request: dict[str, Any]) -> dict[str, str | None]:
    """Set directory and variables; returns what the request's own variables were before."""
    if request["directory"] is not None:
        os.chdir(request["directory"])
    for key in request["unset"]:
        os.environ.pop(key, None)
    os.environ.update(request["set"])
    before = {key: os.environ.get(key) for key in request["env"]}
    os.environ.update(request["env"])
    return before


def _leave(request: dict[str, Any], before: dict[str, str | None]) -> None:
    for key, value in before.items():
        if os.environ.get(key) != request["env"][key]:
            continue  # the code set it itself: that stays, as its other state does
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


def _answer(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    try:
        before = _enter(request)
    except OSError as error:
        return {"refused": f"{os.strerror(error.errno or 0)}"}
    try:
        return session.run(request["code"])
    finally:
        _leave(request, before)


def _encode(number: str, answer: dict[str, Any]) -> bytes:
    data = json.dumps({"id": number, **answer})
    if len(data) > _MAX_REPLY_CHARACTERS:
        plain = {key: answer[key] for key in ("exit_code", "result") if key in answer}
        data = json.dumps({"id": number, **plain, "left_out": True})
    return data.encode()


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = channel.recv(min(size - len(data), 1 << 20))
        if not piece:
            os._exit(0)
        data += piece
    return bytes(data)


def main() -> None:
    """Answer requests until the other end is closed."""
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    home = os.getpid()
    session = Session()
    while True:
        size = int.from_bytes(_exactly(channel, 4), "big")
        request = json.loads(_exactly(channel, size))
        answer = _encode(request["id"], _answer(session, request))
        if os.getpid() != home:  # a fork that the code left running got here: it is no session
            os._exit(0)
        channel.sendall(len(answer).to_bytes(4, "big") + answer)


if __name__ == "__main__":
    main()

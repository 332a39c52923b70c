"""Code of several languages, run at once, in the background, and with a call when it is done."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from tests.conformance.python.conftest import Make
from tests.conformance.python.surface import in_both

needs_node = pytest.mark.skipif(
    not Path("/usr/bin/node").exists(), reason="this machine has no Node.js to offer"
)


@in_both("Sandbox.run_code")
def test_code_answers_code_and_both_streams(sandbox: Any) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    result = sandbox.run_code(code)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert (result.exit_code, result.success) == (0, True)
    assert 0 < result.execution_time < 30


@in_both("Sandbox.run_code")
@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "print(6 * 7)"),
        ("bash", "echo $((6 * 7))"),
        pytest.param("javascript", "console.log(6 * 7)", marks=needs_node),
    ],
)
def test_a_language_is_what_was_asked_for(sandbox: Any, language: str, code: str) -> None:
    result = sandbox.run_code(code, language=language)
    assert (result.stdout, result.exit_code) == ("42\n", 0), result.stderr


@in_both("Sandbox.run_code")
def test_code_that_fails_is_a_result_and_not_an_error(sandbox: Any) -> None:
    failed = sandbox.run_code("1 / 0")
    assert (failed.success, failed.exit_code) == (False, 1)
    assert "ZeroDivisionError" in failed.stderr
    left = sandbox.run_code("exit 7", language="bash")
    assert (left.success, left.exit_code) == (False, 7)


@in_both("Sandbox.run_code")
def test_a_python_session_remembers(sandbox: Any) -> None:
    sandbox.run_code("kept = [1, 2]\ndef add(): kept.append(3)")
    assert sandbox.run_code("add(); print(kept)").stdout == "[1, 2, 3]\n"


@in_both("Sandbox.run_code")
def test_code_has_its_own_environment_and_folder(make: Make) -> None:
    sandbox = make(env_vars={"SHARED": "s"})
    code = "echo $SHARED$OWN; pwd"
    answered = sandbox.run_code(code, language="bash", env={"OWN": "o"}, working_dir="/tmp")
    assert answered.stdout == "so\n/tmp\n"
    python = "import os; print(os.environ.get('SHARED'), os.environ.get('OWN'))"
    assert sandbox.run_code(python, env={"OWN": "o"}).stdout == "s o\n"
    assert sandbox.run_code(python).stdout == "s None\n"


@in_both("Sandbox.run_code")
def test_health_may_be_looked_at_first(
    sandbox: Any, limit: Callable[[int], dict[str, int]]
) -> None:
    assert sandbox.run_code("print(1)", preflight=True, **limit(60)).stdout == "1\n"


@in_both("Sandbox.run_code_background")
def test_code_in_the_background_runs_on(make: Make) -> None:
    sandbox = make()
    code = "import os; print(1, file=open('/workspace/ran', 'w')); input(open('/tmp/pipe').read())"
    sandbox.commands.run("mkfifo /tmp/pipe")
    started = sandbox.run_code_background(code, name="mine", env={"A": "1"}, timeout=60)
    assert started["process_id"]
    assert started["status"] == "running"
    wait = "until [ -s /workspace/ran ]; do sleep 0.01; done; echo ran"
    assert sandbox.commands.run(wait).stdout == "ran\n"


class Callback:
    """Somebody who waits to be called."""

    def __init__(self) -> None:
        self.calls: Queue[tuple[dict[str, str], bytes]] = Queue()
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                calls.put(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/done"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def callback() -> Iterator[Callback]:
    callback = Callback()
    yield callback
    callback.close()


@in_both("Sandbox.run_code_async")
def test_the_end_of_code_is_called_out_and_signed(sandbox: Any, callback: Callback) -> None:
    started = sandbox.run_code_async(
        "import os; print(os.environ['A']); os._exit(3)",
        callback.url,
        env={"A": "é"},
        timeout=60,
        callback_headers={"X-Mine": "yes"},
        callback_signature_secret="secret",
    )
    assert started["execution_id"]
    assert started["callback_url"] == callback.url
    headers, body = callback.calls.get(timeout=30)
    told = json.loads(body)
    assert told["execution_id"] == started["execution_id"]
    assert (told["stdout"], told["exit_code"]) == ("é\n", 3)
    assert headers["x-mine"] == "yes"
    assert headers["x-hopx-timestamp"].isdigit()
    # The vendor's samples sign the time as well; the SDK itself has no say in it.
    signed = headers["x-hopx-timestamp"].encode() + body
    signature = hmac.new(b"secret", signed, hashlib.sha256).hexdigest()
    assert headers["x-hopx-signature"] == f"sha256={signature}"

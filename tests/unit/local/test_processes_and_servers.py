"""The ground the stack stands on: its HTTP server, threads, children, state files, contract."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from glovebox_local.aws import contract
from glovebox_local.endpoints import STATE_DIR_PREFIX, Endpoints, find_running_stacks, publish
from glovebox_local.errors import EmulatorMismatchError
from glovebox_local.http_server import HttpRequest, HttpResponse, LoopbackServer
from glovebox_local.processes import ChildStarter
from glovebox_local.threads import DaemonPool


def echo(request: HttpRequest) -> HttpResponse:
    if request.target == "/fail":
        raise RuntimeError
    headers = [("X-Method", request.method), ("X-Sneaky", "a\r\nX-Evil: 1")]
    return HttpResponse(200, request.body, headers)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    made = LoopbackServer(echo, name="echo", max_body_bytes=1000)
    made.start()
    yield made
    made.stop()


def test_a_connection_serves_many_requests(server: LoopbackServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for body in (b"one", b"", b"three"):
        connection.request("POST", "/", body)
        response = connection.getresponse()
        assert response.read() == body
        assert response.headers["X-Method"] == "POST"
        assert "X-Evil" not in response.headers


def test_a_head_has_the_length_but_no_body(server: LoopbackServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("HEAD", "/", b"12345")
    response = connection.getresponse()
    assert response.headers["Content-Length"] == "5"
    assert response.read() == b""
    connection.request("GET", "/")
    assert connection.getresponse().status == 200


def test_what_is_too_large_is_refused(server: LoopbackServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/", b"x" * 1001)
    assert connection.getresponse().status == 413


def test_a_handler_that_fails_is_a_500_and_the_connection_lives_on(server: LoopbackServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/fail")
    response = connection.getresponse()
    assert (response.status, response.read()) == (500, b'{"message":"Internal Server Error"}')
    connection.request("GET", "/")
    assert connection.getresponse().status == 200


def test_who_waits_for_permission_to_send_gets_it(server: LoopbackServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 100")
        client.sendall(b"ok")
        assert client.recv(1000).endswith(b"ok")


def test_what_is_not_http_is_refused(server: LoopbackServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400")
        assert client.recv(1000) == b""


def test_a_stopped_server_closes_its_port_and_its_connections(server: LoopbackServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000)
        server.stop()
        assert client.recv(1000) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_a_pool_runs_what_comes_and_survives_what_fails() -> None:
    pool = DaemonPool("test", 2)
    done = threading.Semaphore(0)

    def fail() -> None:
        done.release()
        raise RuntimeError

    for _ in range(5):
        pool.submit(fail)
    pool.submit_later(0.01, done.release)
    for _ in range(6):
        assert done.acquire(timeout=5)
    pool.stop()


def test_a_child_gets_exactly_the_environment_it_is_given(tmp_path: Path) -> None:
    children = ChildStarter("test")
    with (tmp_path / "out").open("wb") as output:
        program = "import os; print(sorted(os.environ.items()))"
        process = children.spawn(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={"A": "1", "LC_ALL": "C.UTF-8"},
            output=output.fileno(),
        )
        assert process.wait(10) == 0
    assert (tmp_path / "out").read_text().strip() == "[('A', '1'), ('LC_ALL', 'C.UTF-8')]"
    children.stop()


def test_a_child_that_cannot_be_started_is_the_callers_error(tmp_path: Path) -> None:
    children = ChildStarter("test")
    with pytest.raises(FileNotFoundError):
        children.spawn(["/nowhere"], cwd=tmp_path, env={}, output=1)
    children.stop()


ENDPOINTS = Endpoints(
    *("http://127.0.0.1:1", "http://127.0.0.1:1", "http://s", "m", "d", "t", "sm", "q", "tb"),
    *("us-east-1", "AK", "SK", "full"),
    pid=1,
    log_dir="/logs",
    started_at="2030-01-01T00:00:00+00:00",
)


def test_endpoints_survive_json() -> None:
    assert Endpoints.from_json(ENDPOINTS.to_json()) == ENDPOINTS


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_files_of_dead_stacks_are_removed_with_what_they_left(
    tmp_path: Path, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    ours = tmp_path / f"{STATE_DIR_PREFIX}x"
    ours.mkdir()
    folder = tmp_path / "stacks"
    publish(replace(ENDPOINTS, pid=dead_pid), ours, folder)
    (folder / "garbage.json").write_text("[]")
    assert find_running_stacks(folder) == []
    assert list(folder.iterdir()) == []
    assert not ours.exists()


def test_a_state_file_cannot_have_any_other_folder_removed(tmp_path: Path, dead_pid: int) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    publish(replace(ENDPOINTS, pid=dead_pid), precious, tmp_path / "stacks")
    assert find_running_stacks(tmp_path / "stacks") == []
    assert precious.is_dir()


def test_a_live_stack_that_answers_is_found(tmp_path: Path, server: LoopbackServer) -> None:
    alive = replace(ENDPOINTS, pid=os.getpid(), api_url=server.url)
    path = publish(alive, None, tmp_path / "stacks")
    assert path.stat().st_mode & 0o777 == 0o600
    assert find_running_stacks(tmp_path / "stacks") == [alive]


def test_the_installed_moto_is_the_one_that_was_tested() -> None:
    # In a process of its own: a stack that ran in this one has put its own parts into moto.
    program = "from glovebox_local.aws import contract; contract.check_moto()"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_another_version_of_moto_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "version", lambda _: "5.9.9")
    with pytest.raises(EmulatorMismatchError, match=r"moto 5\.2\.5 exactly, found 5\.9\.9"):
        contract.check_moto()


def test_every_symbol_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        ("moto.sqs.models", "Queue.gone"): None,
        ("moto.sqs.models", "SQSBackend.delete_message"): ("self", "name"),
    }
    monkeypatch.setattr(contract, "SYMBOLS", wrong)
    with pytest.raises(EmulatorMismatchError) as refused:
        contract.check_moto()
    assert "Queue.gone is missing" in str(refused.value)
    assert "takes (self, queue_name, receipt_handle), not (self, name)" in str(refused.value)

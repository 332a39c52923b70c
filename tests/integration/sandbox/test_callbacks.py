"""``/execute/async``: the result is posted, signed, to where its owner said and nowhere else."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from typing import Any

import pytest

from tests.integration.sandbox.client import Box, Client, eventually
from tests.integration.sandbox.receiver import Receiver, receiver


def start(box: Box, code: str, url: str, **given: Any) -> dict[str, Any]:
    body = {"code": code, "callback_url": url, "language": "bash", **given}
    answer = box.ask("POST", "/execute/async", body)
    assert answer.status == 200, answer.raw
    started: dict[str, Any] = answer.body
    return started


def delivery(box: Box, process_id: str) -> dict[str, Any]:
    """What became of the callback, once that is known."""

    def look() -> dict[str, Any]:
        found: dict[str, Any] = box.ask("GET", f"/execute/processes/{process_id}").body["callback"]
        return found

    assert eventually(lambda: look()["status"] != "pending", seconds=20)
    return look()


def the_one(shown: Receiver) -> tuple[str, dict[str, str], dict[str, Any]]:
    ((path, headers, body),) = shown.came
    return path, headers, json.loads(body)


def test_the_result_arrives_signed_with_the_callers_headers(box: Box) -> None:
    with receiver() as shown:
        given = {
            "callback_headers": {"Authorization": "Bearer mine", "X-Run": "7"},
            "callback_signature_secret": "secret",
            "env": {"A": "value"},
        }
        started = start(box, "echo $A; echo err >&2; exit 3", f"{shown.url}/a?b=c", **given)
        assert started["status"] == "running"
        assert started["callback_url"] == f"{shown.url}/a?b=c"
        assert delivery(box, started["process_id"]) == {
            "url": f"{shown.url}/a?b=c",
            "status": "delivered",
            "attempts": 1,
            "http_status": 200,
        }
        path, headers, said = the_one(shown)
    assert path == "/a?b=c"
    assert (headers["authorization"], headers["x-run"]) == ("Bearer mine", "7")
    assert headers["content-type"] == "application/json"
    signed = headers["x-hopx-timestamp"].encode() + shown.came[0][2]
    expected = hmac.new(b"secret", signed, hashlib.sha256).hexdigest()
    assert headers["x-hopx-signature"] == f"sha256={expected}"
    assert said["execution_id"] == started["execution_id"]
    assert (said["status"], said["exit_code"]) == ("failed", 3)
    assert (said["stdout"], said["stderr"]) == ("value\n", "err\n")
    assert said["execution_time"] > 0


def test_without_a_secret_there_is_no_signature(box: Box) -> None:
    with receiver() as shown:
        delivery(box, start(box, "exit 0", shown.url)["process_id"])
        _, headers, said = the_one(shown)
    assert "x-hopx-signature" not in headers
    assert said["status"] == "completed"


def test_code_over_its_time_is_told_as_such(box: Box) -> None:
    with receiver() as shown:
        delivery(box, start(box, "echo early; sleep 60", shown.url, timeout=0.3)["process_id"])
        _, _, said = the_one(shown)
    assert (said["status"], said["stdout"]) == ("timeout", "early\n")
    assert said["exit_code"] != 0


def test_code_that_was_killed_is_told_as_such(box: Box) -> None:
    with receiver() as shown:
        process_id = start(box, "sleep 60", shown.url)["process_id"]
        box.ask("POST", f"/execute/kill/{process_id}")
        delivery(box, process_id)
        _, _, said = the_one(shown)
    assert (said["status"], said["exit_code"]) == ("failed", 137)
    assert said["error"] == "the code was killed"


def test_a_receiver_in_trouble_is_asked_again_and_one_that_refuses_is_not(box: Box) -> None:
    with receiver((503, {})) as shown:
        outcome = delivery(box, start(box, "exit 0", shown.url)["process_id"])
        assert (outcome["status"], outcome["attempts"], len(shown.came)) == ("delivered", 2, 2)
    with receiver((403, {})) as shown:
        outcome = delivery(box, start(box, "exit 0", shown.url)["process_id"])
        assert (outcome["status"], outcome["http_status"], len(shown.came)) == ("failed", 403, 1)


def test_a_redirect_is_not_followed(box: Box) -> None:
    with receiver() as other, receiver((307, {"Location": other.url})) as shown:
        outcome = delivery(box, start(box, "exit 0", shown.url)["process_id"])
        assert (outcome["status"], outcome["http_status"]) == ("failed", 307)
        assert other.came == []


def test_nobody_at_the_address_is_told_and_harms_nothing(box: Box) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        outcome = delivery(box, start(box, "exit 0", f"http://127.0.0.1:{port}")["process_id"])
    assert (outcome["status"], outcome["attempts"]) == ("failed", 3)
    assert box.shell("echo alive") == "alive"


def test_an_answer_that_is_no_http_is_no_delivery(box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        process_id = start(box, "exit 0", f"http://127.0.0.1:{server.getsockname()[1]}")[
            "process_id"
        ]
        for _ in range(3):
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"x" * 100_000)
        outcome = delivery(box, process_id)
    assert outcome["status"] == "failed"


def test_a_name_is_judged_by_where_it_leads(box: Box) -> None:
    # "localhost" is loopback; a number that means 169.254.169.254 to the resolver is not.
    with receiver() as shown:
        port = shown.url.rpartition(":")[2]
        url = f"http://localhost:{port}/"
        assert delivery(box, start(box, "exit 0", url)["process_id"])["status"] == "delivered"
    outcome = delivery(box, start(box, "exit 0", "http://2852039166/")["process_id"])
    assert outcome["status"] == "refused"
    assert "169.254.169.254" in outcome["error"]


@pytest.mark.parametrize(
    "given",
    [
        {"callback_url": "http://169.254.169.254/latest"},
        {"callback_url": "file:///etc/passwd"},
        {"callback_url": "http://127.0.0.1/", "callback_headers": {"Host": "x"}},
        {"callback_url": "http://127.0.0.1/", "callback_signature_secret": 7},
        {},
    ],
)
def test_a_callback_that_may_not_be_made_is_refused_before_anything_runs(
    shared: Box, given: dict[str, Any]
) -> None:
    answer = shared.ask("POST", "/execute/async", {"code": "1", **given})
    assert answer.status == 400
    assert shared.ask("GET", "/execute/processes").body["count"] == 0


def test_a_killed_sandbox_calls_nobody(client: Client, box: Box) -> None:
    other = client.create()
    with receiver() as shown:
        start(other, "sleep 60", shown.url)
        other.kill()
        delivery(box, start(box, "exit 0", shown.url)["process_id"])
        assert len(shown.came) == 1

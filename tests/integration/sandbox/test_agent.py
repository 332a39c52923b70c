"""The agent's own rules: tokens, forms of requests, the flat envelope."""

from __future__ import annotations

import pytest

from tests.integration.sandbox.client import API_KEY, Box, Client, request

BOUNDARY = "boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer wrong", "Basic {token}", f"Bearer {API_KEY}", "{token}"]
)
@pytest.mark.parametrize("path", ["/files/list", "/env", "/files/read?path=/etc/passwd", "/none"])
def test_only_a_token_of_this_sandbox_opens(shared: Box, path: str, header: str | None) -> None:
    headers = {"Authorization": header.format(token=shared.token)} if header else {}
    answer = request(shared.url, "GET", path, None, headers)
    assert (answer.status, answer.body["code"]) == (401, "INVALID_TOKEN")
    assert answer.headers["x-request-id"] == answer.body["request_id"]


def test_another_sandboxs_token_does_not_open(client: Client, shared: Box) -> None:
    other = client.create()
    answer = request(shared.url, "GET", "/env", None, {"Authorization": f"Bearer {other.token}"})
    assert answer.status == 401
    other.kill()


@pytest.mark.parametrize("path", ["/health", "/info", "/ping"])
def test_signs_of_life_need_no_token(shared: Box, path: str) -> None:
    assert request(shared.url, "GET", path).status == 200


def test_health_is_what_the_sdk_waits_for(shared: Box) -> None:
    assert request(shared.url, "GET", "/health").body["status"] == "healthy"


def test_an_ended_sandboxs_address_answers_nobody(client: Client) -> None:
    box = client.create()
    box.kill()
    with pytest.raises(ConnectionRefusedError):
        request(box.url, "GET", "/health")


@pytest.mark.parametrize(
    ("method", "path", "refused"),
    [
        ("GET", "/nothing", (404, "NOT_FOUND")),
        ("GET", "/execute", (405, "METHOD_NOT_ALLOWED")),
        ("POST", "/health", (405, "METHOD_NOT_ALLOWED")),
        ("GET", "/terminal", (400, "WEBSOCKET_REQUIRED")),
    ],
)
def test_what_is_not_there_is_told_apart(
    shared: Box, method: str, path: str, refused: tuple[int, str]
) -> None:
    answer = shared.ask(method, path)
    assert (answer.status, answer.body["code"]) == refused


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"command": ""},
        {"command": 7},
        {"command": "bash", "args": "-c"},
        {"command": "bash", "args": [1]},
        {"command": "bash\0"},
        {"command": "bash", "timeout": -1},
        {"command": "bash", "timeout": "1"},
        {"command": "bash", "workdir": 1},
        {"command": "bash", "env": {"A": None}},
        {"command": "no-such-program"},
        {"command": "/etc/passwd"},
        {"command": "true", "workdir": "/etc/passwd"},
    ],
)
def test_a_wrong_command_is_refused_and_never_run(shared: Box, body: dict[str, object]) -> None:
    assert shared.ask("POST", "/commands/run", body).status == 400


def test_arguments_arrive_as_they_were_sent(shared: Box) -> None:
    words = ["", "a b", "$(id)", "`id`", "'", '"', "\n", "é", "*", "-n"]
    body = {"command": "printf", "args": ["[%s]", *words]}
    printed = shared.ask("POST", "/commands/run", body).body["stdout"]
    assert printed == "".join(f"[{word}]" for word in words)


def test_a_long_command_works_and_a_longer_one_is_refused(shared: Box) -> None:
    body = {"command": "bash", "args": ["-c", "echo ${#1}", "x", "y" * 120_000]}
    assert shared.ask("POST", "/commands/run", body).body["stdout"] == "120000\n"
    body["args"] = ["-c", "true", "y" * 300_000]
    assert shared.ask("POST", "/commands/run", body).status == 413


def test_commands_run_at_the_same_time(shared: Box) -> None:
    shared.shell("rm -f /tmp/pipe; mkfifo /tmp/pipe")
    body = {"command": "bash", "args": ["-c", "cat /tmp/pipe > /tmp/read; echo done >> /tmp/read"]}
    assert shared.ask("POST", "/commands/background", body).status == 200
    waits = "echo x > /tmp/pipe; until grep -q done /tmp/read; do sleep 0.01; done; cat /tmp/read"
    assert shared.shell(waits) == "x\ndone"


def test_a_command_ignores_and_blocks_no_signal(shared: Box) -> None:
    masks = shared.shell("grep -E '^Sig(Ign|Blk)' /proc/self/status").split()[1::2]
    # 32 and 33 are the C library's own; what they were when the server started cannot be undone.
    ours = ~(0b11 << 31)
    assert [int(mask, 16) & ours for mask in masks] == [0, 0]
    assert shared.command("kill -TERM $$; echo survived").body["exit_code"] == 143


def test_input_is_empty_and_never_waited_for(shared: Box) -> None:
    assert shared.shell("cat; echo end") == "end"


def test_a_sandbox_killed_under_a_command_answers_at_once(client: Client) -> None:
    box = client.create(timeout_seconds=1)
    answer = box.command("sleep 60")
    assert (answer.status, answer.body["code"]) == (410, "SANDBOX_GONE")


def upload(box: Box, *parts: bytes, kind: str = FORM, end: bytes = b"--boundary--\r\n") -> int:
    content = b"".join(b"--boundary\r\nContent-Disposition: form-data; " + part for part in parts)
    headers = {"Authorization": f"Bearer {box.token}", "Content-Type": kind}
    return request(box.url, "POST", "/files/upload", content + end, headers).status


def test_a_form_may_name_the_path_after_the_file(shared: Box) -> None:
    file = b'name="file"; filename="f"\r\n\r\ncontent\r\n'
    path = b'name="path"\r\n\r\n/tmp/late\r\n'
    assert upload(shared, file, path) == 200
    assert shared.shell("cat /tmp/late") == "content"


def test_without_a_path_the_files_own_name_counts_and_no_more_of_it(shared: Box) -> None:
    assert upload(shared, b'name="file"; filename="../../etc/cron"\r\n\r\nx\r\n') == 200
    assert shared.shell("cat /workspace/cron") == "x"


@pytest.mark.parametrize(
    ("parts", "options", "status"),
    [
        ((), {}, 400),
        ((b'name="path"\r\n\r\n/tmp/x\r\n',), {}, 400),
        ((b'name="file"; filename="f"\r\n\r\nx\r\n',), {"end": b""}, 400),
        ((b'name="file"; filename="f"\r\n\r\nx\r\n',) * 2, {}, 400),
        ((b'name="path"\r\n\r\n' + b"x" * 10_000 + b"\r\n",), {}, 400),
        ((b'name="file"; filename="f"\r\n\r\nx\r\n',), {"kind": "application/json"}, 415),
        ((b'name="file"; filename="f"\r\n\r\nx\r\n',), {"kind": "multipart/form-data"}, 415),
        ((b'name="path"\r\n\r\n/etc/x\r\n', b'name="file"; filename="f"\r\n\r\nx\r\n'), {}, 403),
    ],
)
def test_a_wrong_form_is_refused(
    shared: Box, parts: tuple[bytes, ...], options: dict[str, object], status: int
) -> None:
    assert upload(shared, *parts, **options) == status  # type: ignore[arg-type]


def test_a_file_is_not_replaced_if_that_was_said(shared: Box) -> None:
    body = {"path": "/tmp/once", "content": "1", "overwrite": False}
    assert shared.ask("POST", "/files/write", body).status == 200
    answer = shared.ask("POST", "/files/write", body)
    assert (answer.status, answer.body["code"]) == (409, "FILE_ALREADY_EXISTS")


def test_errors_have_the_flat_envelope(shared: Box) -> None:
    body = shared.file("read", "/workspace/missing").body
    assert set(body) == {"error", "message", "code", "request_id", "timestamp", "details", "path"}
    assert (body["path"], body["details"]) == ("/workspace/missing", {"path": "/workspace/missing"})


def test_put_replaces_variables_unless_it_is_told_to_merge(box: Box) -> None:
    box.ask("PUT", "/env", {"env_vars": {"A": "1"}})
    merged = box.ask("PUT", "/env", {"env_vars": {"B": "2"}, "merge": True})
    assert merged.body["env_vars"] == {"A": "1", "B": "2"}
    assert box.ask("PUT", "/env", {"env_vars": {"C": "3"}}).body["env_vars"] == {"C": "3"}
    assert box.ask("PUT", "/env", {"env_vars": {}, "merge": "yes"}).status == 400

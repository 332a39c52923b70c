"""What ``/v1/templates`` takes, refuses and remembers."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.sandbox.client import API_KEY, Client, request
from tests.integration.sandbox.image_building import (
    SIZES,
    begin,
    build,
    copy,
    finish,
    fresh_name,
    image,
    run,
    tar_of,
    upload,
)

# Of the SDK's records, which fail at one key more.
STATUS_KEYS = {
    *("build_id", "template_id", "status", "progress", "started_at", "current_step"),
    *("completed_at", "error_message", "build_duration_ms", "request_id"),
}


def link_for(client: Client, files_hash: str, size: int) -> dict[str, Any]:
    body = {"files_hash": files_hash, "content_length": size}
    answer = client.ask("POST", "/v1/templates/files/upload-link", body)
    assert answer.status == 200, answer.raw
    body = answer.body
    assert isinstance(body, dict)
    return body


def put(url: str, content: bytes) -> tuple[int, Any]:
    parts = urlsplit(url)
    answer = request(f"http://{parts.netloc}", "PUT", parts.path, content)
    return answer.status, answer.body


def test_an_archive_is_there_when_its_own_digest_is_known_and_not_before(client: Client) -> None:
    archive = tar_of({"a": fresh_name().encode()})
    digest = hashlib.sha256(archive).hexdigest()
    link = link_for(client, digest, len(archive))
    assert link["present"] is False
    assert put(link["upload_url"], archive) == (200, {"sha256": digest})
    again = link_for(client, digest, len(archive))
    assert set(again) == {"present", "files_hash", "request_id"}
    assert again["present"] is True


def test_a_hash_that_a_client_made_up_never_counts_as_there(client: Client) -> None:
    made_up = fresh_name()
    for content in (b"one", b"two"):
        archive = tar_of({"file": content})
        link = link_for(client, made_up, len(archive))
        assert link["present"] is False
        assert put(link["upload_url"], archive)[0] == 200
        with image(client, [copy(made_up)]) as image_id:
            box = client.create(template_id=image_id, template_name=None)
            assert box.shell("cat file") == content.decode()
            box.kill()


def test_a_link_serves_once_and_only_for_the_size_that_was_announced(client: Client) -> None:
    for sent in (b"123456", b"1234"):
        link = link_for(client, fresh_name(), 5)
        assert put(link["upload_url"], sent)[0] == 400
        assert put(link["upload_url"], b"12345")[0] == 403
    link = link_for(client, fresh_name(), 5)
    assert put(link["upload_url"], b"12345")[0] == 200
    assert put(link["upload_url"], b"12345")[0] == 403
    address = urlsplit(link["upload_url"])
    assert put(f"http://{address.netloc}/v1/templates/files/guessed", b"12345")[0] == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"files_hash": "x"},
        {"files_hash": "x", "content_length": 0},
        {"files_hash": "x", "content_length": True},
        {"files_hash": "x", "content_length": 1 << 40},
        {"files_hash": "", "content_length": 1},
        {"files_hash": "x" * 200, "content_length": 1},
        {"files_hash": 5, "content_length": 1},
    ],
)
def test_a_malformed_announcement_is_refused(client: Client, body: dict[str, Any]) -> None:
    assert client.ask("POST", "/v1/templates/files/upload-link", body).status == 400


def test_the_same_steps_with_the_same_files_are_built_once(client: Client) -> None:
    stamp = fresh_name()
    content = tar_of({"file": stamp.encode()})
    archive = upload(client, content)
    steps = [copy(archive), run("cat /proc/sys/kernel/random/uuid > once")]

    def made(given: list[dict[str, Any]], **others: Any) -> str:
        with image(client, given, **others) as image_id:
            box = client.create(template_id=image_id, template_name=None)
            once = box.shell("cat once")
            box.kill()
        return once

    with image(client, steps) as kept:
        box = client.create(template_id=kept, template_name=None)
        first = box.shell("cat once")
        box.kill()
        # Another name, another hash for the same archive: the files are the same.
        other_hash = upload(client, content, fresh_name())
        assert made([copy(other_hash), steps[1]]) == first
        assert made([{"type": "ENV", "args": ["A", "1"]}, *steps]) != first
        changed = upload(client, tar_of({"file": b"changed"}))
        assert made([copy(changed), steps[1]]) != first
        assert made(steps, skipCache=True) != first
        assert made([copy(archive), steps[1] | {"skipCache": True}]) != first


def test_two_at_once_of_the_same_are_one(client: Client) -> None:
    steps = [run(f"sleep 0.3; echo {fresh_name()}; cat /proc/sys/kernel/random/uuid > once")]
    began = [begin(client, steps).body for _ in range(2)]
    states = [finish(client, b["build_id"]) for b in began]
    assert [state["status"] for state in states] == ["active", "active"]
    said = []
    for state in states:
        box = client.create(template_id=state["template_id"], template_name=None)
        said.append(box.shell("cat once"))
        box.kill()
        client.ask("DELETE", f"/v1/templates/{state['template_id']}")
    assert said[0] == said[1]


def test_a_name_is_taken_once_and_replaced_only_by_an_update(client: Client) -> None:
    name = fresh_name()
    assert begin(client, [run("true")], name=name, update=True).status == 404
    first = build(client, [run("echo 1 > n")], name=name)
    refused = begin(client, [run("true")], name=name)
    assert (refused.status, refused.body["error"]["code"]) == (409, "TEMPLATE_EXISTS")
    old = client.create(template_name=name)
    second = build(client, [run("echo 2 > n")], name=name, update=True)
    assert second["template_id"] == first["template_id"]
    new = client.create(template_name=name)
    assert (old.shell("cat n"), new.shell("cat n")) == ("1", "2")
    failed = build(client, [run("exit 3")], name=name, update=True)
    assert failed["status"] == "failed"
    assert client.ask("GET", f"/v1/templates/{name}").body["status"] == "active"
    still = client.create(template_name=name)
    assert still.shell("cat n") == "2"
    for box in (old, new, still):
        box.kill()
    assert client.ask("DELETE", f"/v1/templates/{first['template_id']}").status == 200
    assert client.ask("GET", f"/v1/templates/{name}").status == 404


def test_a_failed_image_makes_no_sandbox_and_frees_its_name(client: Client) -> None:
    name = fresh_name()
    failed = build(client, [run("echo reason; false"), run("touch never")], name=name)
    assert failed["status"] == "failed"
    assert failed["error_message"] == "step 1 ended with exit code 1"
    assert failed["progress"] == 0
    assert "reason" in failed["log"]
    assert "Step 2" not in failed["log"]
    described = client.ask("GET", f"/v1/templates/{name}").body
    assert (described["status"], described["is_active"]) == ("failed", False)
    assert client.ask("POST", "/v1/sandboxes", {"template_name": name}).status == 404
    assert build(client, [run("true")], name=name)["status"] == "active"
    client.ask("DELETE", f"/v1/templates/{name}")


def test_an_image_that_is_being_built_makes_no_sandbox_and_ends_when_deleted(
    client: Client,
) -> None:
    name = fresh_name()
    began = begin(client, [run("sleep 55")], name=name).body
    assert client.ask("POST", "/v1/sandboxes", {"template_name": name}).status == 404
    described = client.ask("GET", f"/v1/templates/{began['template_id']}").body
    assert (described["status"], described["is_active"]) == ("building", False)
    assert begin(client, [run("true")], name=name).status == 409
    assert begin(client, [run("true")], name=name, update=True).status == 409
    assert client.ask("DELETE", f"/v1/templates/{name}").status == 200
    assert finish(client, began["build_id"])["status"] == "failed"


def test_one_that_is_deleted_while_it_waits_for_its_turn_never_runs(client: Client) -> None:
    archive = upload(client, tar_of({"f": b"x"}))
    began = [begin(client, [copy(archive), run("sleep 55")]).body for _ in range(4)]
    for made in reversed(began):
        assert client.ask("DELETE", f"/v1/templates/{made['template_id']}").status == 200
    states = [finish(client, made["build_id"]) for made in began]
    assert {state["error_message"] for state in states} == {"the build was ended"}
    assert states[-1]["current_step"] is None


def test_status_has_exactly_the_keys_that_the_sdk_takes(client: Client) -> None:
    built = build(client, [run("true")])
    status = client.ask("GET", f"/v1/templates/build/{built['build_id']}/status").body
    assert set(status) == STATUS_KEYS
    assert (status["status"], status["progress"]) == ("active", 100)
    client.ask("DELETE", f"/v1/templates/{built['template_id']}")


def test_logs_go_on_where_the_last_answer_ended_by_either_id(client: Client) -> None:
    built = build(client, [run("echo marker-of-this-one")])
    for build_id in (built["build_id"], built["template_id"]):
        first = client.ask("GET", f"/v1/templates/build/{build_id}/logs").body
        assert set(first) == {"logs", "offset", "status", "complete", "request_id"}
        assert "marker-of-this-one\n" in first["logs"]
        path = f"/v1/templates/build/{build_id}/logs?offset={first['offset']}"
        assert client.ask("GET", path).body["logs"] == ""
    assert client.ask("GET", "/v1/templates/build/none/logs").status == 404
    assert client.ask("GET", "/v1/templates/build/none/status").status == 404
    path = f"/v1/templates/build/{built['build_id']}/logs?offset=-1"
    assert client.ask("GET", path).status == 400
    client.ask("DELETE", f"/v1/templates/{built['template_id']}")


def test_who_asks_for_events_gets_the_log_as_it_grows(client: Client) -> None:
    steps = [run("echo first"), run("sleep 0.5; echo 'event: active'; exit 3")]
    began = begin(client, steps).body
    path = urlsplit(began["logs_url"]).path
    headers = {"X-API-Key": API_KEY, "Accept": "text/event-stream"}
    answer = request(client.url, "GET", path, headers=headers)
    assert answer.headers["content-type"] == "text/event-stream"
    events = answer.raw.decode().strip().split("\n\n")
    assert "data: first" in events
    assert "data: event: active" in events
    assert events[-1] == "event: failed\ndata: step 2 ended with exit code 3"
    client.ask("DELETE", f"/v1/templates/{began['template_id']}")


def test_the_services_own_images_stay(client: Client) -> None:
    assert client.ask("DELETE", "/v1/templates/1").status == 403
    assert client.ask("DELETE", "/v1/templates/none").status == 404
    assert begin(client, [run("true")], name="base", update=True).status == 409


def test_both_ways_to_show_the_key_open_it_and_nothing_else(client: Client) -> None:
    for headers, status in (
        ({"X-API-Key": API_KEY}, 200),
        ({"Authorization": f"Bearer {API_KEY}"}, 200),
        ({"Authorization": "Bearer wrong"}, 401),
        ({}, 401),
    ):
        assert request(client.url, "GET", "/v1/templates", headers=headers).status == status
        path = "/v1/templates/build/none/status"
        wanted = 404 if status == 200 else 401
        assert request(client.url, "GET", path, headers=headers).status == wanted


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": 5},
        {"cpu": 0},
        {"memory": "1"},
        {"diskGB": None},
        {"from_image": "registry.example.com/private:1"},
        {"from_image": ""},
        {"registry_credentials": {"type": "basic", "username": "u", "password": "p"}},
        {"steps": {}},
        {"steps": [{"type": "RUN", "args": ["true"]}] * 201},
        {"steps": [{"type": "FROM", "args": ["x"]}]},
        {"steps": [{"type": "RUN"}]},
        {"steps": [{"type": "RUN", "args": []}]},
        {"steps": [{"type": "RUN", "args": ["a", "b"]}]},
        {"steps": [{"type": "RUN", "args": [5]}]},
        {"steps": [{"type": "RUN", "args": ["a\0b"]}]},
        {"steps": [{"type": "RUN", "args": ["x" * 70_000]}]},
        {"steps": [{"type": "ENV", "args": ["A B", "1"]}]},
        {"steps": [{"type": "ENV", "args": ["A"]}]},
        {"steps": [{"type": "COPY", "args": [".", "/workspace"]}]},
        {"steps": [{"type": "COPY", "args": [".", "/workspace"], "filesHash": "unknown"}]},
        {"steps": [{"type": "USER", "args": ["a;b"]}]},
        {"startCmd": 5},
        {"readyCmd": {"type": "port", "port": 80}},
        {"startCmd": "x", "readyCmd": {"type": "port"}},
        {"startCmd": "x", "readyCmd": {"type": "port", "port": 70_000}},
        {"startCmd": "x", "readyCmd": {"type": "url", "url": "file:///etc/passwd"}},
        {"startCmd": "x", "readyCmd": {"type": "file", "path": "/x", "timeout": 0}},
        {"startCmd": "x", "readyCmd": {"type": "file", "path": "/x", "timeout": 1 << 40}},
        {"startCmd": "x", "readyCmd": {"type": "magic"}},
        {"startCmd": "x", "readyCmd": {"type": ["port"]}},
        {"startCmd": "x", "readyCmd": {"type": "file", "path": None}},
        {"startCmd": "x", "readyCmd": []},
        {"steps": [{"type": ["RUN"], "args": ["x"]}]},
        {"steps": [{"type": "COPY", "args": [".", "x"], "filesHash": "x" * 1000}]},
        {"from_image": "x" * 1000},
        {"update": "yes"},
        {"name": "\ud800"},
    ],
)
def test_a_malformed_build_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    body = {"name": fresh_name(), "from_image": "base", "steps": [], **SIZES, **wrong}
    answer = client.ask("POST", "/v1/templates/build", body)
    assert answer.status == 400, answer.raw
    assert answer.body["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "value", "line"),
    [
        ("port", 8124, "python -m http.server 8124"),
        ("url", "http://127.0.0.1:8125/", "python -m http.server 8125"),
        ("path", "/workspace/up", "sleep 0.2; touch up; sleep 60"),
        ("processName", "sleep", "sleep 60"),
        ("command", "test -s up && grep -q ready up", "sleep 0.2; echo ready > up; sleep 60"),
    ],
)
def test_a_sandbox_is_there_when_its_start_command_is_ready(
    client: Client, kind: str, value: object, line: str
) -> None:
    kinds = {"path": "file", "processName": "process"}
    ready = {"type": kinds.get(kind, kind), kind: value, "timeout": 20_000, "interval": 20}
    with image(client, [run("true")], startCmd=line, readyCmd=ready) as image_id:
        box = client.create(template_id=image_id, template_name=None)
        assert box.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").count("python -m http") or (
            "sleep" in box.shell("cat /proc/[0-9]*/comm")
        )
        box.kill()


def test_a_start_command_that_is_not_ready_fails_the_create(client: Client) -> None:
    # Ready in the build, by the image's variable; not in a sandbox that sets another.
    ready = {"type": "command", "command": 'test -n "$HERE"', "timeout": 500, "interval": 50}
    steps = [{"type": "ENV", "args": ["HERE", "yes"]}, run("true")]
    with image(client, steps, startCmd="sleep 60", readyCmd=ready) as image_id:
        good = client.create(template_id=image_id, template_name=None)
        good.kill()
        body = {"template_id": image_id, "internet_access": False, "env_vars": {"HERE": ""}}
        answer = client.ask("POST", "/v1/sandboxes", body)
        assert answer.status == 500
        assert "not ready in 0.5 s" in answer.body["error"]["message"]
    assert client.ask("GET", "/v1/sandboxes").body["data"] == []


def test_the_sandboxs_own_variables_win_over_the_images(client: Client) -> None:
    steps = [{"type": "ENV", "args": ["A", "image"]}, {"type": "ENV", "args": ["B", "image"]}]
    with image(client, [*steps, run('test "$A" = image')]) as image_id:
        box = client.create(template_id=image_id, template_name=None, env_vars={"B": "own"})
        assert box.shell("echo $A $B") == "image own"
        box.kill()


def test_a_user_and_a_public_base_are_stood_in_for_and_the_log_says_so(client: Client) -> None:
    built = build(
        client, [{"type": "USER", "args": ["root"]}, run("id -un")], from_image="ubuntu:22.04"
    )
    assert built["status"] == "active"
    assert "FROM ubuntu:22.04: this machine's own system stands in" in built["log"]
    assert "every sandbox runs as its one user" in built["log"]
    assert "\nsandbox\n" in built["log"]
    client.ask("DELETE", f"/v1/templates/{built['template_id']}")

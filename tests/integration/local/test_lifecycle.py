"""A stack starts, is found, stops, and leaves nothing; two of them do not meet."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import psutil
import pytest
from glovebox_local.endpoints import Endpoints, find_running_stacks
from glovebox_local.errors import AlreadyRunningError
from glovebox_local.stack import LocalStack

from .conftest import ManualClock, Playground, eventually, playground_stack

SERVE = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from glovebox_local.stack import LocalStack

    class Server:
        url, isolation = "http://127.0.0.1:9", "stub"
        def start(self): pass
        def stop(self): pass

    template, seen = sys.argv[1:]
    stack = LocalStack(
        Path(template), parameters={"SeenDir": seen}, sandbox_server=Server(), announce=True
    )
    endpoints = stack.start()
    print(endpoints.to_json().replace("\\n", ""), flush=True)
    sys.stdin.read()
    stack.stop()
    """
)


def listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=1).close()
    except OSError:
        return False
    return True


def client(service: Any, endpoints: Endpoints) -> Any:
    return boto3.client(
        service,
        region_name=endpoints.region,
        endpoint_url=endpoints.aws_endpoint_url,
        aws_access_key_id=endpoints.access_key_id,
        aws_secret_access_key=endpoints.secret_access_key,
    )


class OtherProcess:
    """A stack in a process of its own, ended by end of input or by a signal."""

    def __init__(self, folder: Path) -> None:
        from .conftest import write_playground

        self.seen_dir = folder / "seen"
        self.seen_dir.mkdir(parents=True)
        template = write_playground(folder / "project")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(template), str(self.seen_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
        )
        assert self.process.stdout is not None
        self.endpoints = Endpoints.from_json(self.process.stdout.readline())


@pytest.fixture
def other(tmp_path: Path) -> Iterator[OtherProcess]:
    process = OtherProcess(tmp_path / "other")
    yield process
    if process.process.poll() is None:
        process.process.communicate("")  # the end of its input: it stops by itself


@pytest.fixture
def start_stack(no_playground: None, tmp_path: Path) -> Iterator[Callable[..., LocalStack]]:
    started: list[LocalStack] = []

    def start(**options: Any) -> LocalStack:
        stack = playground_stack(tmp_path / str(len(started)), ManualClock(), **options)
        started.append(stack)
        stack.start()
        return stack

    yield start
    for stack in started:
        stack.stop()


def test_two_stacks_in_two_processes_do_not_meet(
    playground: Playground, other: OtherProcess
) -> None:
    mine, theirs = playground.endpoints, other.endpoints
    assert httpx.get(f"{theirs.api_url}/runs/theirs").json()["rawPath"] == "/runs/theirs"
    client("s3", theirs).put_object(Bucket=theirs.manifest_bucket, Key="only-theirs", Body=b"")
    recorded = other.seen_dir / "recorded.jsonl"
    eventually(lambda: recorded.exists() and "only-theirs" in recorded.read_text())
    buckets = [b["Name"] for b in client("s3", mine).list_buckets()["Buckets"]]
    assert theirs.manifest_bucket not in buckets
    assert not any("only-theirs" in json.dumps(event) for event in playground.seen("recorded"))
    assert not any(event["rawPath"] == "/runs/theirs" for event in playground.seen("api"))


def test_a_running_stack_is_found_and_a_stopped_one_is_not(
    other: OtherProcess, tmp_path: Path
) -> None:
    folder = tmp_path / "other" / "glovebox" / "stacks"
    assert find_running_stacks(folder) == [other.endpoints]
    assert folder.stat().st_mode & 0o777 == 0o700
    other.process.communicate("")
    assert list(folder.iterdir()) == []
    assert find_running_stacks(folder) == []


def test_a_killed_stack_takes_its_workers_with_it_and_is_cleaned_up_after(
    other: OtherProcess, tmp_path: Path
) -> None:
    httpx.get(f"{other.endpoints.api_url}/runs/1")
    workers = psutil.Process(other.process.pid).children(recursive=True)
    assert workers
    other.process.send_signal(signal.SIGKILL)
    other.process.wait()
    gone, alive = psutil.wait_procs(workers, timeout=3)
    assert gone
    assert not alive
    state_dir = Path(other.endpoints.log_dir).parent
    assert state_dir.is_dir()
    assert find_running_stacks(tmp_path / "other" / "glovebox" / "stacks") == []
    assert not state_dir.exists()


def test_stop_leaves_no_process_no_port_and_no_folder_even_with_running_functions(
    start_stack: Callable[..., LocalStack],
) -> None:
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    stack = start_stack()
    endpoints = stack.endpoints
    state_dir = Path(endpoints.log_dir).parent
    function = stack.deployment.resources["FaultyFunction"].ref
    functions = client("lambda", endpoints)

    def hang() -> None:
        with pytest.raises(Exception, match=r"."):  # the stack goes away under it
            functions.invoke(FunctionName=function, Payload=json.dumps({"sleep": 60}))

    hanging = threading.Thread(target=hang)
    hanging.start()
    eventually(stack.worker_pids)
    started = time.monotonic()
    stack.stop()
    assert time.monotonic() - started < 3
    hanging.join(timeout=5)
    assert not state_dir.exists()
    assert not listens(endpoints.aws_endpoint_url)
    assert not listens(endpoints.api_url)
    after = {child.pid for child in me.children(recursive=True)}
    assert after <= before
    stack.stop()  # twice is no error


def test_a_process_can_run_one_stack_after_another_but_not_two_at_once(
    start_stack: Callable[..., LocalStack], tmp_path: Path
) -> None:
    first = start_stack()
    client("s3", first.endpoints).create_bucket(Bucket="left-behind")
    with pytest.raises(AlreadyRunningError):
        playground_stack(tmp_path / "second", ManualClock()).start()
    assert httpx.get(f"{first.endpoints.api_url}/runs/1").status_code == 200
    first.stop()
    second = start_stack()
    buckets = client("s3", second.endpoints).list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == [second.endpoints.manifest_bucket]


def test_idle_workers_are_ended_and_never_more_kept_than_allowed(
    no_playground: None, tmp_path: Path
) -> None:
    from dataclasses import replace

    stack = playground_stack(tmp_path, ManualClock())
    stack._settings = replace(stack._settings, idle_worker_seconds=0.5, max_idle_workers=1)
    with stack:
        for path in ("/runs/1", "/files/x"):
            httpx.get(stack.endpoints.api_url + path)
        client("s3", stack.endpoints).put_object(
            Bucket=stack.endpoints.manifest_bucket, Key="x", Body=b""
        )
        eventually((tmp_path / "seen" / "recorded.jsonl").exists)
        eventually(lambda: len(stack.worker_pids()) <= 1)
        eventually(lambda: not stack.worker_pids(), seconds=3)


def test_a_prewarmed_function_has_its_worker_before_the_first_event(
    no_playground: None, tmp_path: Path
) -> None:
    from dataclasses import replace

    stack = playground_stack(tmp_path, ManualClock())
    stack._settings = replace(stack._settings, prewarm=("ApiFunction",))
    with stack:
        (pid,) = stack.worker_pids()
        httpx.get(f"{stack.endpoints.api_url}/runs/1")
        assert stack.worker_pids() == [pid]


def test_a_stack_that_cannot_start_leaves_nothing_behind(
    no_playground: None, tmp_path: Path
) -> None:
    from glovebox_local.errors import TemplateError

    stack = playground_stack(tmp_path / "bad", ManualClock())
    stack._parameters = {}
    with pytest.raises(TemplateError, match="SeenDir: required"):
        stack.start()
    with playground_stack(tmp_path / "good", ManualClock()):
        pass


def test_a_given_state_folder_is_kept(
    start_stack: Callable[..., LocalStack], tmp_path: Path
) -> None:
    stack = start_stack(state_dir=tmp_path / "state")
    httpx.get(f"{stack.endpoints.api_url}/runs/1")
    stack.stop()
    assert "START RequestId" in (tmp_path / "state" / "logs" / "ApiFunction.log").read_text()

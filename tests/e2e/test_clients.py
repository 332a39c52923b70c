"""The doors by the clients that people have already: the AWS CLI and curl."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.test_doors import client

pytestmark = pytest.mark.thorough

AWS = Path(__file__).parents[2] / ".venv-sam" / "bin" / "aws"
TESTS = {"test_a.py": "def test_good(): pass\n", "test_b.py": "def test_bad(): assert 1 == 2\n"}


def manifest(name: str, source: dict[str, Any], path: str) -> str:
    suite = {"name": "unit", "framework": "pytest", "paths": [path]}
    whole = {"version": 1, "name": name, "source": source, "suites": [suite]}
    return json.dumps(whole)


class AwsCli:
    """`aws`, pointed at a stack as docs/local.md says."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.bucket = str(stack.endpoints["manifest_bucket"])
        self.data = str(stack.endpoints["data_bucket"])
        self.topic = str(stack.endpoints["topic_arn"])
        self.queues: list[str] = []
        self.subscriptions: list[str] = []
        self._folder = folder
        # Version 2 reads AWS_ENDPOINT_URL; version 1, which is what pip installs, only this.
        self._command = [str(AWS), "--endpoint-url", str(stack.endpoints["aws_endpoint_url"])]
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_DEFAULT_REGION": str(stack.endpoints["region"]),
            "AWS_ACCESS_KEY_ID": str(stack.endpoints["access_key_id"]),
            "AWS_SECRET_ACCESS_KEY": str(stack.endpoints["secret_access_key"]),
            "AWS_PAGER": "",
        }

    def __call__(self, *words: str, stdin: bytes | None = None) -> str:
        done = subprocess.run(
            [*self._command, *words],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
            env=self._environment,
            cwd=self._folder,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def json(self, *words: str) -> dict[str, Any]:
        answer = self(*words, "--output", "json")
        document: dict[str, Any] = json.loads(answer) if answer.strip() else {}
        return document

    def drop(self, files: dict[str, bytes]) -> None:
        """Put files into the manifest bucket, all by one command."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        self("s3", "cp", "--recursive", str(folder), f"s3://{self.bucket}/")

    def read(self, uri: str) -> str:
        return self("s3", "cp", uri, "-")

    def subscribe(self, queue: str, policy: dict[str, Any]) -> str:
        """A queue that is told what the policy lets through; answers its URL."""
        url = str(self.json("sqs", "create-queue", "--queue-name", queue)["QueueUrl"])
        self.queues.append(url)
        arn = f"{self.topic.rpartition(':')[0]}:{queue}".replace(":sns:", ":sqs:")
        attributes = json.dumps({"FilterPolicy": json.dumps(policy), "RawMessageDelivery": "true"})
        where = ("--topic-arn", self.topic, "--protocol", "sqs", "--notification-endpoint", arn)
        told = self.json("sns", "subscribe", *where, "--attributes", attributes)
        self.subscriptions.append(str(told["SubscriptionArn"]))
        return url

    def receive(self, url: str, until: Callable[[list[Any]], bool]) -> list[dict[str, Any]]:
        """The messages of a queue, as soon as there are those that are waited for."""
        found: list[dict[str, Any]] = []
        end = time.monotonic() + 90
        while not until(found):
            assert time.monotonic() < end, f"only {found}"
            words = ("--queue-url", url, "--max-number-of-messages", "10")
            answer = self.json("sqs", "receive-message", *words, "--wait-time-seconds", "20")
            found += [json.loads(message["Body"]) for message in answer.get("Messages", [])]
        return found


@pytest.fixture
def aws(stack: Stack, tmp_path: Path) -> Iterator[AwsCli]:
    if not AWS.exists():
        pytest.skip("no AWS CLI here: `make tools` installs it")
    cli = AwsCli(stack, tmp_path)
    yield cli
    # The emulated topic tells nobody any more once one of its queues is gone.
    for arn in cli.subscriptions:
        client(stack, "sns").unsubscribe(SubscriptionArn=arn)
    for url in cli.queues:
        client(stack, "sqs").delete_queue(QueueUrl=url)


def archive(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            made.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def test_the_aws_cli_drops_manifests_and_hears_of_what_it_asked_for(aws: AwsCli) -> None:
    # The filtered queue comes first: what it is to be told, it knows before the other does.
    failed = aws.subscribe("failed", {"name": ["aws-bad", "aws-good"], "conclusion": ["failed"]})
    everything = aws.subscribe("everything", {"event": ["run.finished", "run.rejected"]})
    source = {"s3": f"s3://{aws.bucket}/sources/tests.tar.gz"}
    aws.drop({"sources/tests.tar.gz": archive(TESTS)})
    aws.drop(
        {
            "team/good.json": manifest("aws-good", source, "test_a.py").encode(),
            "team/bad.json": manifest("aws-bad", source, "test_b.py").encode(),
            "team/broken.yml": b"version: 1\nnmae: x\n",
        }
    )
    keys = ["team/bad.json", "team/broken.yml", "team/good.json"]

    def told(messages: list[Any]) -> list[str]:
        origins = [message["origin"] for message in messages if message["origin"]]
        return sorted(origin["key"] for origin in origins)

    heard = aws.receive(everything, lambda found: set(keys) <= set(told(found)))
    assert told(heard) == keys, "each once, and nothing of the archive"
    [message] = aws.receive(failed, lambda found: len(found) > 0)
    assert (message["name"], message["conclusion"]) == ("aws-bad", "failed")
    assert message["origin"]["key"] == "team/bad.json"

    listed = aws("s3", "ls", message["reports"]["json"].rpartition("/")[0] + "/")
    assert {line.split()[-1] for line in listed.splitlines()} == {"report.json", "junit.xml"}
    report = json.loads(aws.read(message["reports"]["json"]))
    assert (report["summary"]["failed"], report["origin"]) == (1, message["origin"])
    [rejected] = [m for m in heard if m["event"] == "run.rejected"]
    note = json.loads(aws.read(rejected["note"]))
    assert note["run_id"] == rejected["run_id"]
    assert ("name", 2) in [(p["suggestion"], p["line"]) for p in note["problems"]]


def curl(*words: str, stdin: bytes | None = None) -> Any:
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "30", *words]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stderr, done.stdout)
    return json.loads(done.stdout)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_curl_starts_a_run_follows_it_and_fetches_the_report(stack: Stack) -> None:
    api = stack.endpoints["api_url"]
    body = f'{{"manifest": {manifest("curled", {"inline": {"files": TESTS}}, "test_a.py")}}}'
    json_type = ("-H", "content-type: application/json")
    run_id = curl(*json_type, "--data-binary", "@-", f"{api}/runs", stdin=body.encode())["run_id"]
    end = time.monotonic() + 60
    while (run := curl(f"{api}/runs/{run_id}"))["state"] != "finished":
        assert time.monotonic() < end, run
        time.sleep(0.3)
    assert (run["conclusion"], run["door"], run["origin"]) == ("passed", "api", None)
    report = curl(curl(f"{api}/runs/{run_id}/report?format=json")["url"])
    assert [test["result"] for test in report["tests"]] == ["passed"]

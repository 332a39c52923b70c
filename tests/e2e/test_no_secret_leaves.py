"""No bait leaves: not the service's keys, not a task's token, not a test's secret, with every
logger at DEBUG and tests that print all they can see."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from glovebox_local.executor import environment as workers
from glovebox_local.sandbox.runtime import set_up_site
from glovebox_local.sandbox.server import SandboxServerProcess
from glovebox_local.settings import LocalSettings
from glovebox_local.stack import LocalStack

from tests.e2e.bait import Found, Remains, Searcher
from tests.e2e.conftest import GLOVEBOX, Ended, Project, ended

ROOT = Path(__file__).parents[2]
BAITS = {
    "HopX key": "hk_live_BAIT" + secrets.token_hex(16),
    "AWS secret key": "awsBAIT" + secrets.token_urlsafe(24),
    "AWS session token": "sessionBAIT" + secrets.token_hex(16),
    "test's secret": "postgres://BAIT:" + secrets.token_urlsafe(24) + "@db/é ü?x=%41&y",
    "test's key file": "-----BEGIN BAIT-----\n"
    + "\n".join(secrets.token_urlsafe(48) for _ in range(8)),
}
# The value itself would be in the source: a test knows it backwards.
BACKWARDS = {name: bait[::-1] for name, bait in BAITS.items()}

DEBUG = """
import logging
logging.getLogger().setLevel(logging.DEBUG)
logging.getLogger("any.library").debug("debug is on")
"""
TELL = """
import json

def tell(line):
    with open(%r, "a") as file:
        file.write(line + "\\n")

_drive = drive
def drive(body, context):
    tell(body)
    return _drive(body, context)

from glovebox.adapters.hopx_clients import AgentHTTPClient
_open = AgentHTTPClient.__init__
def open_agent(self, *args, **options):
    tell(json.dumps({"sandbox_token": options["jwt_token"]}))
    _open(self, *args, **options)
AgentHTTPClient.__init__ = open_agent
"""
TESTS = """
import base64, json, os, pathlib, subprocess, sys, urllib.parse
import pytest
BACKWARDS = json.loads(pathlib.Path("backwards.json").read_text())
DB_URL, KEY = os.environ.get("BAIT_DB_URL"), os.environ.get("BAIT_KEY")
ATTEMPT = "GLOVEBOX_RUN_ID" in os.environ
if not ATTEMPT:
    print("discovery sees", dict(os.environ))
    assert DB_URL is None and KEY is None

def spelled(value):
    raw = value.encode()
    yield from (value, repr(value), json.dumps(value), raw.hex(), raw.hex().upper())
    yield from (urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value))
    for before in ("", "u", "us", "usr"):
        yield base64.b64encode(before.encode() + raw + b"\\n").decode()
        yield base64.encodebytes(before.encode() + raw).decode()
    yield f"\\x1b[1m{value[:20]}\\x1b[0m{value[20:]}"

def test_is_given_its_secrets():
    assert DB_URL == BACKWARDS["test's secret"][::-1]
    assert KEY == BACKWARDS["test's key file"][::-1]

def test_prints_and_passes():
    for value in (DB_URL, KEY):
        print("\\n".join(spelled(value)), file=sys.stderr)

def test_prints_and_fails():
    print(*spelled(DB_URL))
    assert "x" == DB_URL, f"{DB_URL} {KEY} {base64.b64encode(DB_URL.encode())}"

def test_raises_what_it_holds():
    raise RuntimeError("cannot connect to " + DB_URL + "\\nwith " + KEY)

def test_skips_with_a_reason():
    pytest.skip("no " + DB_URL)

@pytest.mark.parametrize("shift", range(3))
def test_prints_far_too_much(shift):
    os.write(1, b"." * shift + DB_URL.encode() * 12_000)
    assert False, "x" * (3990 + shift * 5) + DB_URL

def readable():
    roots = ("/workspace", "/tmp", "/dev/shm", "/etc", "/var", "/run", "/home", "/root", "/opt")
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                yield pathlib.Path(folder, name)
    yield from pathlib.Path("/proc").glob("[0-9]*/cmdline")
    yield from pathlib.Path("/proc").glob("[0-9]*/environ")

def test_finds_nothing_of_the_service():
    secret = {"test's secret", "test's key file"}
    seen = 0
    for path in readable():
        try:
            text = path.read_bytes() if path.stat().st_size < 10**6 else b""
        except OSError:
            continue
        seen += 1
        for name, backwards in BACKWARDS.items():
            mine = path.name == "environ" and name in secret
            assert mine or backwards[::-1].encode() not in text, (name, path)
        if path.name in ("environ", "cmdline") or ".glovebox" in str(path):
            print(path, text[:3000])
    assert seen > 20
    assert ATTEMPT
    assert False, "so that its log is kept in the report"
"""


@dataclass(frozen=True)
class After:
    """A stack after its run."""

    remains: Remains
    tokens: dict[str, str]
    """Of tasks and of sandboxes."""
    cli: Ended
    folder: Path
    logs: str

    def found(self) -> Found:
        return Searcher({**BAITS, **self.tokens}).find(iter(self.remains))


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[After]:
    """A run on a stack with nothing but baits for secrets, and what it left."""
    folder = tmp_path_factory.mktemp("bait")
    messages = folder / "messages"
    told, state = folder / "told", folder / "state"
    told.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workers, "SECRET_ACCESS_KEY", BAITS["AWS secret key"])
        session = SimpleNamespace(token_hex=lambda _: BAITS["AWS session token"])
        patched.setattr(workers, "secrets", session)
        with LocalStack(
            talkative(folder / "stack", messages),
            parameters={"HopxApiKey": BAITS["HopX key"], "LogLevel": "DEBUG"},
            state_dir=state,
            settings=LocalSettings(),
            sandbox_server=lambda _, log: SandboxServerProcess(
                BAITS["HopX key"], runtime_site=set_up_site(), log=log
            ),
            secrets_of_tests={
                "BAIT_DB_URL": BAITS["test's secret"],
                "BAIT_KEY": BAITS["test's key file"],
            },
        ) as stack:
            remains = Remains(stack.endpoints, told, state)
            listen(remains, stack.endpoints.topic_arn)
            project = Project(folder / "project").write(
                {"test_bait.py": TESTS, "backwards.json": json.dumps(BACKWARDS)},
                secrets=["BAIT_DB_URL", "BAIT_KEY"],
                suite={"timeout": "30s"},
            )
            command = [str(GLOVEBOX), "run", str(project), "--api", stack.endpoints.api_url]
            cli = ended([*command, "--verbose", "--report", str(told / "report")])
            (told / "cli").write_text(cli.out + cli.err)
            for run in remains.client("stepfunctions").list_executions(
                stateMachineArn=stack.endpoints.state_machine_arn
            )["executions"]:
                logs = ended([str(GLOVEBOX), "logs", run["name"], *command[3:]])
                (told / "logs").write_text(logs.out + logs.err)
            sent = [json.loads(line) for line in messages.read_text().splitlines()]
            tokens = {
                f"{kind} {at}": line.pop(kind)
                for at, line in enumerate(sent)
                for kind in ("token", "sandbox_token")
                if kind in line
            }
            (told / "launch messages").write_text(json.dumps(sent))
            logged = "".join(path.read_text() for path in (state / "logs").rglob("*.log"))
            yield After(remains, tokens, cli, told, logged)


def talkative(folder: Path, messages: Path) -> Path:
    """The product as it stands, with the root logger at DEBUG in front of every function, and a
    launcher that tells a file its messages, which are gone when a run is over, and the tokens of
    its sandboxes."""
    for name in ("functions", "layers", "statemachine"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for app in (folder / "functions").glob("*/app.py"):
        future = "from __future__ import annotations\n"
        head, _, rest = app.read_text().partition(future)
        last = TELL % str(messages) if app.parent.name == "launcher" else ""
        app.write_text(head + future + DEBUG + rest + last)
    shutil.copy(ROOT / "template.yaml", folder)
    return folder / "template.yaml"


def listen(remains: Remains, topic: str) -> None:
    sqs = remains.client("sqs")
    queue = sqs.create_queue(QueueName="listener")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    remains.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])


def test_the_run_was_what_it_is_meant_to_be(after: After) -> None:
    report = json.loads((after.folder / "report" / "report.json").read_text())
    results = {test["test_id"].partition("::")[2]: test for test in report["tests"]}
    assert results["test_is_given_its_secrets"]["result"] == "passed", after.cli.out
    assert results["test_prints_and_passes"]["result"] == "passed"
    assert results["test_skips_with_a_reason"]["result"] == "skipped"
    assert report["summary"]["failed"] == 6, after.cli.out
    last = results["test_finds_nothing_of_the_service"]
    assert "so that its log is kept" in last["message"], last["message"]
    assert "debug is on" in after.logs
    assert {name.split()[0] for name in after.tokens} == {"token", "sandbox_token"}
    assert "***" in results["test_prints_and_fails"]["message"]


def test_no_bait_is_found_anywhere(after: After) -> None:
    places = {place.split()[0] for place, _ in after.remains}
    assert places == {"object", "facts", "row", "message", "execution", "history", "answer", "file"}
    found = after.found()
    # A task token is Step Functions' own to keep: nowhere else.
    allowed = {place for place, names in found.items() if place.startswith("history")}
    assert all(name.startswith("token") for place in allowed for name in found[place])
    assert {place: names for place, names in found.items() if place not in allowed} == {}


def test_a_bait_that_lies_anywhere_is_found(after: After) -> None:
    """The search above can fail: a bait is put wherever it looks."""
    s3, sqs = after.remains.client("s3"), after.remains.client("sqs")
    bucket = after.remains._endpoints.data_bucket
    bait = BAITS["HopX key"].encode()
    s3.put_object(Bucket=bucket, Key="planted", Body=b"x" + bait[3:20])
    s3.put_object(
        Bucket=bucket, Key="planted.gz", Body=subprocess.check_output(["gzip"], input=bait)
    )
    [queue] = [url for url in sqs.list_queues()["QueueUrls"] if "LaunchDeadLetter" in url]
    sqs.send_message(QueueUrl=queue, MessageBody=BAITS["AWS secret key"])
    row = {
        "pk": {"S": "planted"},
        "sk": {"S": "row"},
        "x": {"S": next(iter(after.tokens.values()))},
    }
    after.remains.client("dynamodb").put_item(TableName=after.remains._endpoints.table, Item=row)
    (after.folder / "planted file").write_text(BAITS["test's secret"].encode().hex())
    found = after.found()
    planted = {"object planted", "object planted.gz", "row planted row", "file planted file"}
    assert planted <= set(found)
    assert any("DeadLetter" in place for place in found)

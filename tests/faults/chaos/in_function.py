"""Runs in a function's process, as its `app.py`: puts the faults in, then is the real one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
from aws_faults import EVERYWHERE, AwsFault, AwsFaults  # type: ignore[import-not-found]  # beside this file
from botocore.httpsession import URLLib3Session

SETTINGS = json.loads((Path(__file__).parent / "chaos.json").read_text())
CRASH = "crash"
DUPLICATE = "duplicate"
DUPLICATES = 4
"""Messages are few beside calls: so many times the rate are delivered again."""


def record(operation: str, fault: str) -> None:
    """One line, whole, whatever happens next."""
    entry = {"at": time.time(), "pid": os.getpid(), "operation": operation, "fault": fault}
    line = json.dumps({**entry, "function": SETTINGS["function"]}) + "\n"
    file = os.open(SETTINGS["record"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, line.encode())
    os.close(file)


def put_in() -> AwsFaults:
    """Faults below every client that is made from here on."""
    boto3.setup_default_session()
    session = boto3.DEFAULT_SESSION
    assert session is not None
    http = URLLib3Session()
    # Processes come and go in another order each time; a seed for each by its place in time
    # would not be more than this.
    faults = AwsFaults(
        seed=hash((SETTINGS["seed"], os.getpid())),
        rate=SETTINGS["rate"],
        kinds=[*EVERYWHERE, AwsFault.CONFLICT],
        record=record,
    )

    def send(request: Any) -> Any:
        if SETTINGS["function"] == "launcher" and chance(faults, SETTINGS["crash_rate"]):
            return crash(faults, http, request)
        return http.send(request)

    faults.attach(session.events, send)
    return faults


def chance(faults: AwsFaults, rate: float) -> bool:
    """Whether it happens now."""
    return bool(faults._random.random() < rate)


def crash(faults: AwsFaults, http: URLLib3Session, request: Any) -> Any:
    """The end of this process, before a request or just after it has taken effect."""
    if chance(faults, 0.5):
        http.send(request)
    record("process", CRASH)
    os._exit(137)


def twice(event: dict[str, Any], faults: AwsFaults) -> None:
    """Sometimes the queue delivers a message again, as it may."""
    for entry in event["Records"]:
        if not chance(faults, DUPLICATES * SETTINGS["rate"]):
            continue
        name = entry["eventSourceARN"].rpartition(":")[2]
        queue = boto3.session.Session().client("sqs")
        url = queue.get_queue_url(QueueName=name)["QueueUrl"]
        # At once, or when the first delivery is likely to be over.
        delay = 0 if chance(faults, 0.5) else 30
        queue.send_message(QueueUrl=url, MessageBody=entry["body"], DelaySeconds=delay)
        record("message", DUPLICATE)


_faults = put_in()
from glovebox_app import *  # type: ignore[import-not-found]  # noqa: E402, F403
from glovebox_app import lambda_handler as _real  # noqa: E402


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """The real one."""
    if SETTINGS["function"] == "launcher":
        twice(event, _faults)
    return _real(event, context)

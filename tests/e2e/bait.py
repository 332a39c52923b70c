"""Baits: values that must not leave a stack, and a search through everything that it left."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import httpx
from glovebox_local.endpoints import Endpoints

WINDOW = 10
"""Characters of a bait, or of an encoded one, that betray it: a piece of it is a leak as well."""

Found = dict[str, list[str]]
"""Where a bait was found, to which."""


class Searcher:
    """Finds baits in texts. It knows their spellings by itself, not from what hides them."""

    def __init__(self, baits: Mapping[str, str]) -> None:
        self._names: dict[bytes, str] = {}
        for name, bait in baits.items():
            for spelling in spellings(bait.encode()):
                for at in range(len(spelling) - WINDOW + 1):
                    self._names[spelling[at : at + WINDOW]] = name

    def find(self, places: Iterator[tuple[str, bytes]]) -> Found:
        """Every place that holds a piece of a bait, and the baits' names."""
        found: Found = {}
        for place, content in places:
            for text in (content, *unpacked(content)):
                windows = {text[at : at + WINDOW] for at in range(len(text) - WINDOW + 1)}
                for window in windows & self._names.keys():
                    found.setdefault(place, []).append(self._names[window])
        return {place: sorted(set(names)) for place, names in found.items()}


def spellings(bait: bytes) -> Iterator[bytes]:
    """As it is, in base64 at each alignment, in hexadecimal, and as a URL holds it."""
    yield bait
    yield bait.hex().encode()
    yield quote(bait, safe="").encode()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + bait)
        yield encoded[4 if before else 0 : len(encoded) - 4]


def unpacked(content: bytes) -> Iterator[bytes]:
    """What is inside of a gzipped content, or of several one after another."""
    if content[:2] == b"\x1f\x8b":
        try:
            yield gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            yield zlib.decompressobj(31).decompress(content)


class Remains:
    """Everything that can be asked of a stack, or read beside it. Reads it as its owner may."""

    def __init__(self, endpoints: Endpoints, *folders: Path) -> None:
        self._endpoints = endpoints
        self._folders = folders

    def client(self, service: Any) -> Any:
        endpoints = self._endpoints
        return boto3.client(
            service,
            endpoint_url=endpoints.aws_endpoint_url,
            region_name=endpoints.region,
            aws_access_key_id=endpoints.access_key_id,
            aws_secret_access_key="any",
        )

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        yield from self._objects()
        yield from self._rows()
        yield from self._messages()
        yield from self._executions()
        yield from self._answers()
        for folder in self._folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    yield f"file {path.name}", path.read_bytes()

    def _objects(self) -> Iterator[tuple[str, bytes]]:
        s3 = self.client("s3")
        for bucket in s3.list_buckets()["Buckets"]:
            name = bucket["Name"]
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
                for found in page.get("Versions", []):
                    answer = s3.get_object(Bucket=name, Key=found["Key"])
                    yield f"object {found['Key']}", answer.pop("Body").read()
                    yield f"facts of object {found['Key']}", str(answer).encode()

    def _rows(self) -> Iterator[tuple[str, bytes]]:
        table = self.client("dynamodb")
        for name in table.list_tables()["TableNames"]:
            for page in table.get_paginator("scan").paginate(TableName=name):
                for row in page["Items"]:
                    yield f"row {row['pk']['S']} {row['sk']['S']}", str(row).encode()

    def _messages(self) -> Iterator[tuple[str, bytes]]:
        sqs = self.client("sqs")
        for url in sqs.list_queues().get("QueueUrls", []):
            asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0}
            for message in sqs.receive_message(**asked).get("Messages", []):
                yield f"message of {url.rpartition('/')[2]}", json.dumps(message).encode()

    def _executions(self) -> Iterator[tuple[str, bytes]]:
        states = self.client("stepfunctions")
        arn = self._endpoints.state_machine_arn
        for found in states.list_executions(stateMachineArn=arn)["executions"]:
            name, one = found["name"], {"executionArn": found["executionArn"]}
            yield f"execution {name}", str(states.describe_execution(**one)).encode()
            for page in states.get_paginator("get_execution_history").paginate(**one):
                for event in page["events"]:
                    yield f"history of {name}", str(event).encode()

    def _answers(self) -> Iterator[tuple[str, bytes]]:
        """The API's. A presigned URL's query is left out: by design it holds a session token."""
        with httpx.Client(base_url=self._endpoints.api_url) as api:
            listed = api.get("/runs").json()["runs"]
            paths = ["/runs", "/runs/none"]
            for run in listed:
                tests = api.get(f"/runs/{run['run_id']}/tests").json()["attempts"]
                paths += [f"/runs/{run['run_id']}{end}" for end in ("", "/tests", "/report")]
                paths += [f"/runs/{run['run_id']}/tests/{test['key']}" for test in tests]
            for path in paths:
                text = api.get(path).text
                yield f"answer to GET {path}", re.sub(r"\?[^\"]*", "", text).encode()

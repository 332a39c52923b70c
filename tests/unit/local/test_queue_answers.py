"""What a batch function's answer says about its messages, and what a rule sends its target."""

from __future__ import annotations

import json
from typing import Any

import pytest
from glovebox_local.delivery.queues import failed_ids
from glovebox_local.delivery.rules import as_event, target_input

SENT = {"1", "2"}


@pytest.mark.parametrize(
    "answer",
    [b"", b"null", b"{}", b'{"batchItemFailures": null}', b'{"batchItemFailures": []}'],
)
def test_an_empty_answer_is_success(answer: bytes) -> None:
    assert failed_ids(answer, SENT) == set()


def test_the_named_messages_come_back() -> None:
    assert failed_ids(b'{"batchItemFailures": [{"itemIdentifier": "2"}]}', SENT) == {"2"}


@pytest.mark.parametrize(
    "answer",
    [
        b"not json",
        b'"words"',
        b"[]",
        b'{"batchItemFailures": "2"}',
        b'{"batchItemFailures": ["2"]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"itemIdentifer": "2"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "9"}]}',
    ],
)
def test_a_malformed_answer_fails_the_whole_batch(answer: bytes) -> None:
    assert failed_ids(answer, SENT) == SENT


EVENT = {"source": "s", "detail": {"name": 'a"b', "tags": ["x"], "count": 2}}


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ({}, EVENT),
        ({"Input": '{"fixed": 1}'}, {"fixed": 1}),
        ({"InputPath": "$.detail"}, EVENT["detail"]),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"name": "$.detail.name", "tags": "$.detail.tags"},
                    "InputTemplate": '{"t": "<name>: <tags>", "name": <name>, "tags": <tags>}',
                }
            },
            {"t": 'a"b: ["x"]', "name": 'a"b', "tags": ["x"]},
        ),
    ],
)
def test_a_target_is_sent_what_it_asks_for(target: dict[str, Any], sent: Any) -> None:
    assert json.loads(target_input(target, EVENT)) == sent


def test_an_events_time_is_written_as_eventbridge_writes_it() -> None:
    assert as_event({"time": 0.5, "ingestion-time": 1.0}) == {"time": "1970-01-01T00:00:00Z"}

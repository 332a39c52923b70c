"""What moto gets wrong under threads is right here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .conftest import Playground


def in_parallel(threads: int, call: Callable[[int], None], times: int) -> None:
    barrier = threading.Barrier(threads)

    def run(number: int) -> None:
        barrier.wait()
        for index in range(number, times, threads):
            call(index)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))


def test_no_counter_update_is_lost(playground: Playground) -> None:
    dynamodb = playground.client("dynamodb")
    table = playground.endpoints.table
    key = {"pk": {"S": "counter"}, "sk": {"S": "-"}}

    def add(_: int) -> None:
        dynamodb.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    in_parallel(16, add, 160)
    assert dynamodb.get_item(TableName=table, Key=key)["Item"]["n"] == {"N": "160"}


def test_no_message_is_received_twice(playground: Playground) -> None:
    sqs = playground.client("sqs")
    url = sqs.create_queue(QueueName="races")["QueueUrl"]
    for index in range(80):
        sqs.send_message(QueueUrl=url, MessageBody=str(index))
    received: list[str] = []

    def receive(_: int) -> None:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=2)
        received.extend(message["Body"] for message in answer.get("Messages", []))

    in_parallel(16, receive, 64)
    assert sorted(received, key=int) == [str(index) for index in range(80)]


def test_a_waiting_receiver_gets_a_message_as_soon_as_it_is_sent(playground: Playground) -> None:
    import time

    sqs = playground.client("sqs")
    url = sqs.create_queue(QueueName="waiting")["QueueUrl"]
    arrived: list[float] = []

    def wait() -> None:
        sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)
        arrived.append(time.monotonic())

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.3)
    sent = time.monotonic()
    sqs.send_message(QueueUrl=url, MessageBody="x")
    waiting.join()
    assert arrived[0] - sent < 0.3

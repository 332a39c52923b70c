"""Events reach functions as they do on AWS."""

from __future__ import annotations

import json
import time

from .conftest import Playground, eventually


def test_a_dropped_object_reaches_its_function_through_eventbridge(playground: Playground) -> None:
    bucket = playground.endpoints.manifest_bucket
    playground.client("s3").put_object(Bucket=bucket, Key="in/a b+ü.json", Body=b"{}")

    def dropped() -> dict[str, object] | None:
        events = [e for e in playground.seen("recorded") if e.get("source") == "aws.s3"]
        found = [e for e in events if e["detail"]["object"]["key"] == "in/a b+ü.json"]
        return found[0] if found else None

    event = eventually(dropped)
    detail = event["detail"]
    assert event["detail-type"] == "Object Created"
    assert event["resources"] == [f"arn:aws:s3:::{bucket}"]
    assert isinstance(detail, dict)
    assert detail["reason"] == "PutObject"
    assert detail["bucket"] == {"name": bucket}
    assert detail["object"]["size"] == 2
    time.sleep(0.2)
    keys = [
        e["detail"]["object"]["key"]
        for e in playground.seen("recorded")
        if e.get("source") == "aws.s3"
    ]
    assert keys.count("in/a b+ü.json") == 1


def test_putting_an_object_does_not_wait_for_the_function(playground: Playground) -> None:
    s3 = playground.client("s3")
    bucket = playground.endpoints.manifest_bucket
    s3.put_object(Bucket=bucket, Key="warm", Body=b"")
    started = time.monotonic()
    s3.put_object(Bucket=bucket, Key="slow/one", Body=b"{}")
    assert time.monotonic() - started < 0.5  # the function sleeps for a second


def test_failed_messages_of_a_batch_are_retried_and_end_in_the_dead_letter_queue(
    playground: Playground,
) -> None:
    sqs = playground.client("sqs")
    url = playground.ref("WorkQueue")
    bodies = ["ok-1", "bad-1", "ok-2"]
    entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)

    def dead() -> list[dict[str, str]] | None:
        received: list[dict[str, str]] | None = sqs.receive_message(
            QueueUrl=playground.ref("WorkDead")
        ).get("Messages")
        return received

    assert [message["Body"] for message in eventually(dead, seconds=30)] == ["bad-1"]
    seen = playground.seen("batch")
    assert sorted(item["body"] for item in seen) == ["bad-1", "bad-1", "ok-1", "ok-2"]
    first = next(item for item in seen if item["body"] == "bad-1")
    assert first["batch"] == 3  # the window gathered all of them
    assert first["eventSource"] == "aws:sqs"
    assert first["eventSourceARN"].endswith(url.rpartition("/")[2])
    assert [
        item["attributes"]["ApproximateReceiveCount"] for item in seen if item["body"] == "bad-1"
    ] == ["1", "2"]
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert left["Attributes"]["ApproximateNumberOfMessages"] == "0"


def test_a_subscribed_function_gets_the_topics_record_if_its_filter_lets_it(
    playground: Playground,
) -> None:
    sns = playground.client("sns")
    topic = playground.endpoints.topic_arn
    for kind in ("gossip", "news"):
        attribute = {"kind": {"DataType": "String", "StringValue": kind}}
        sns.publish(TopicArn=topic, Message=kind, MessageAttributes=attribute)

    def records() -> list[dict[str, object]]:
        events = playground.seen("recorded")
        return [e["Records"][0] for e in events if "Records" in e]

    (record,) = eventually(records)
    notification = record["Sns"]
    assert record["EventSource"] == "aws:sns"
    assert isinstance(notification, dict)
    assert notification["Message"] == "news"
    assert notification["TopicArn"] == topic
    assert notification["MessageAttributes"] == {"kind": {"Type": "String", "Value": "news"}}


def test_schedules_fire_when_the_clock_says_so(playground: Playground) -> None:
    def fired() -> tuple[int, int]:
        events = playground.seen("recorded")
        ticks = [e for e in events if e.get("detail-type") == "Scheduled Event"]
        return len(ticks), sum(1 for e in events if e.get("noon"))

    time.sleep(0.2)
    assert fired() == (0, 0)
    playground.clock.advance(seconds=61)  # 11:59:31
    eventually(lambda: fired() == (1, 0))
    playground.clock.advance(minutes=5)  # past noon; a rate makes up for lost time with one event
    eventually(lambda: fired() == (2, 1))
    time.sleep(0.2)
    assert fired() == (2, 1)
    tick = next(e for e in playground.seen("recorded") if e.get("source") == "aws.events")
    assert tick["detail"] == {}
    assert tick["resources"][0].startswith("arn:aws:events:us-east-1:123456789012:rule/play-")


def test_put_events_reaches_rules_that_the_template_does_not_have(playground: Playground) -> None:
    events = playground.client("events")
    sqs = playground.client("sqs")
    url = sqs.create_queue(QueueName="bus-copies")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    events.put_rule(Name="copies", EventPattern=json.dumps({"source": ["test"]}))
    target = {
        "Id": "q",
        "Arn": arn["QueueArn"],
        "InputTransformer": {
            "InputPathsMap": {"who": "$.detail.who", "n": "$.detail.n"},
            "InputTemplate": '{"text": "hi <who>", "who": <who>, "n": <n>}',
        },
    }
    events.put_targets(Rule="copies", Targets=[target])
    entry = {"Source": "test", "DetailType": "t", "Detail": json.dumps({"who": 'a"b', "n": 3})}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    received = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert json.loads(received[0]["Body"]) == {"text": 'hi a"b', "who": 'a"b', "n": 3}

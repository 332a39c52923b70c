"""A playground stack: one small template with every kind of wiring, started once per session."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config
from glovebox_local.endpoints import Endpoints
from glovebox_local.settings import LocalSettings
from glovebox_local.stack import LocalStack

T = TypeVar("T")

HANDLERS = """
import json, os, pathlib, time
import boto3

def seen(kind, event):
    with (pathlib.Path(os.environ["SEEN_DIR"]) / f"{kind}.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\\n")

def record(event, context):
    key = event.get("detail", {}).get("object", {}).get("key", "")
    if key.startswith("slow/"):
        time.sleep(1)
    seen("recorded", event)

def batch(event, context):
    failed = []
    for item in event["Records"]:
        seen("batch", {**item, "batch": len(event["Records"])})
        if item["body"].startswith("bad"):
            failed.append({"itemIdentifier": item["messageId"]})
    return {"batchItemFailures": failed}

def api(event, context):
    seen("api", event)
    mode = (event.get("queryStringParameters") or {}).get("mode")
    if mode == "raise":
        raise RuntimeError("no")
    if mode == "plain":
        return {"hello": "world"}
    if mode == "cookies":
        return {"statusCode": 201, "cookies": ["a=1", "b=2"], "headers": {"X-Kind": "x\\r\\nevil: 1"}}
    if mode == "malformed":
        return {"statusCode": "many"}
    return {"statusCode": 200, "body": json.dumps(event), "headers": {"content-type": "application/json"}}

def faulty(event, context):
    print("asked", event)
    seen("faulty", event)
    if "sleep" in event:
        time.sleep(event["sleep"])
    if "exit" in event:
        os._exit(event["exit"])
    if "raise" in event:
        raise ValueError("as asked")
    return {"pid": os.getpid(), "env": dict(os.environ)}

def launch(event, context):
    workflow = boto3.client("stepfunctions")
    for item in event["Records"]:
        body = json.loads(item["body"])
        count = int(item["attributes"]["ApproximateReceiveCount"])
        seen("launched", {"batch_id": body["batch_id"], "at": time.time(), "count": count})
        time.sleep(0.05)
        if body["batch_id"].startswith("lost"):
            continue
        if body["batch_id"].startswith("failing"):
            workflow.send_task_failure(taskToken=body["token"], error="SandboxUnavailable", cause="x")
        else:
            workflow.send_task_success(taskToken=body["token"], output="{}")
"""  # noqa: E501

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  SeenDir: {Type: String}
  HopxBaseUrl: {Type: String}
  HopxApiKey: {Type: String, NoEcho: true, MinLength: 8}
  MaxParallelism: {Type: Number, MinValue: 1}
Globals:
  Function:
    Runtime: python3.11
    CodeUri: code
    Timeout: 10
    Environment: {Variables: {SEEN_DIR: !Ref SeenDir, HOPX: !Ref HopxBaseUrl}}
Resources:
  DropBucket:
    Type: AWS::S3::Bucket
    Properties:
      NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions:
        - {AttributeName: pk, AttributeType: S}
        - {AttributeName: sk, AttributeType: S}
        - {AttributeName: at, AttributeType: S}
      KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
      LocalSecondaryIndexes:
        - IndexName: by-time
          KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: at, KeyType: RANGE}]
          Projection: {ProjectionType: ALL}
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}
  Secret:
    Type: AWS::SecretsManager::Secret
    Properties: {SecretString: !Ref HopxApiKey}
  Topic: {Type: AWS::SNS::Topic}
  WorkDead: {Type: AWS::SQS::Queue}
  WorkQueue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 3
      RedrivePolicy: {deadLetterTargetArn: !GetAtt WorkDead.Arn, maxReceiveCount: 2}
  LaunchQueue: {Type: AWS::SQS::Queue, Properties: {VisibilityTimeout: 60}}
  FaultyDead: {Type: AWS::SQS::Queue}
  RecorderFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.record
      Events:
        Drop:
          Type: EventBridgeRule
          Properties:
            Pattern:
              source: [aws.s3]
              detail-type: [Object Created]
              detail: {bucket: {name: [!Ref DropBucket]}}
        Tick: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}
        Later:
          Type: ScheduleV2
          Properties: {ScheduleExpression: "cron(0 12 * * ? *)", Input: '{"noon": true}'}
        News: {Type: SNS, Properties: {Topic: !Ref Topic, FilterPolicy: {kind: [news]}}}
  BatchFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.batch
      Events:
        Work:
          Type: SQS
          Properties:
            Queue: !GetAtt WorkQueue.Arn
            BatchSize: 3
            MaximumBatchingWindowInSeconds: 1
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 2}
  ApiFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.api
      Events:
        One: {Type: HttpApi, Properties: {Path: "/runs/{id}", Method: GET, ApiId: !Ref Api}}
        Files: {Type: HttpApi, Properties: {Path: "/files/{path+}", Method: ANY, ApiId: !Ref Api}}
        Create: {Type: HttpApi, Properties: {Path: /runs, Method: POST, ApiId: !Ref Api}}
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      CorsConfiguration: {AllowOrigins: ["https://a.example"], AllowMethods: [GET]}
  FaultyFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.faulty
      Timeout: 1
      ReservedConcurrentExecutions: 1
      EventInvokeConfig: {MaximumRetryAttempts: 1}
      DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt FaultyDead.Arn}
  LauncherFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.launch
      Events:
        Batch:
          Type: SQS
          Properties:
            Queue: !GetAtt LaunchQueue.Arn
            BatchSize: 1
            FunctionResponseTypes: [ReportBatchItemFailures]
  RunStateMachine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: run.asl.json
      DefinitionSubstitutions:
        LaunchQueueUrl: !Ref LaunchQueue
        FaultyArn: !GetAtt FaultyFunction.Arn
Outputs:
  ManifestBucketName: {Value: !Ref DropBucket}
  RunTopicArn: {Value: !Ref Topic}
  RunStateMachineArn: {Value: !Ref RunStateMachine}
  LaunchQueueUrl: {Value: !Ref LaunchQueue}
  RunsTableName: {Value: !Ref Table}
  ApiUrl: {Value: !Sub "https://${Api}.execute-api.${AWS::Region}.amazonaws.com"}
"""

DEFINITION: dict[str, Any] = {
    "StartAt": "Launch",
    "States": {
        "Launch": {
            "Type": "Map",
            "MaxConcurrencyPath": "$.parallelism",
            "ItemReader": {
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": {"InputType": "JSON"},
                "Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.key"},
            },
            "ItemSelector": {"run_id.$": "$.run_id", "batch.$": "$$.Map.Item.Value"},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "Batch",
                "States": {
                    "Batch": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                        "TimeoutSecondsPath": "$.batch.timeout_seconds",
                        "HeartbeatSecondsPath": "$.batch.heartbeat_seconds",
                        "Parameters": {
                            "QueueUrl": "${LaunchQueueUrl}",
                            "MessageBody": {
                                "batch_id.$": "$.batch.batch_id",
                                "token.$": "$$.Task.Token",
                            },
                        },
                        "Retry": [
                            {
                                "ErrorEquals": ["SandboxUnavailable"],
                                "IntervalSeconds": 1,
                                "MaxAttempts": 1,
                            }
                        ],
                        "Catch": [
                            {
                                "ErrorEquals": ["States.ALL"],
                                "ResultPath": "$.error",
                                "Next": "Unsettled",
                            }
                        ],
                        "ResultPath": None,
                        "Next": "Settled",
                    },
                    "Settled": {"Type": "Pass", "Result": {"settled": True}, "End": True},
                    "Unsettled": {
                        "Type": "Pass",
                        "Parameters": {"settled": False, "error.$": "$.error.Error"},
                        "End": True,
                    },
                },
            },
            "ResultPath": "$.results",
            "Next": "Ask",
        },
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "${FaultyArn}", "Payload": {"from": "workflow"}},
            "Retry": [
                {
                    "ErrorEquals": ["Lambda.TooManyRequestsException"],
                    "IntervalSeconds": 1,
                    "MaxAttempts": 5,
                }
            ],
            "ResultPath": None,
            "End": True,
        },
    },
}


class ManualClock:
    """A clock that stands still until it is told to move on."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, 11, 58, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)


class StubSandboxServer:
    """Stands for the sandbox server: has a URL, runs nothing."""

    url = "http://127.0.0.1:9"
    isolation = "stub"

    def __init__(self) -> None:
        self.running = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False


@dataclass
class Playground:
    """The running stack, and what its functions have seen."""

    stack: LocalStack
    endpoints: Endpoints
    clock: ManualClock
    seen_dir: Path

    def client(self, service: str) -> Any:
        """A client over HTTP, as another process would have one."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=self.endpoints.region,
            endpoint_url=self.endpoints.aws_endpoint_url,
            aws_access_key_id=self.endpoints.access_key_id,
            aws_secret_access_key=self.endpoints.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=40),
        )

    def seen(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind, in the order of their arrival."""
        path = self.seen_dir / f"{kind}.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def ref(self, logical_id: str) -> str:
        """The physical id of a resource."""
        return self.stack.deployment.resources[logical_id].ref


def eventually(look: Callable[[], T | None], seconds: float = 8.0) -> T:
    """Look until there is something to see; fail when there is nothing in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        threading.Event().wait(0.02)
    pytest.fail(f"nothing came within {seconds} seconds")


def write_playground(folder: Path) -> Path:
    """Write the template and its code, and return the template's path."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "app.py").write_text(HANDLERS)
    (folder / "run.asl.json").write_text(json.dumps(DEFINITION))
    template = folder / "template.yaml"
    template.write_text(TEMPLATE)
    return template


def playground_stack(folder: Path, clock: ManualClock, **options: Any) -> LocalStack:
    """A stack of the playground template; its functions record into ``folder``/seen."""
    (folder / "seen").mkdir(parents=True, exist_ok=True)
    return LocalStack(
        write_playground(folder / "project"),
        name="play",
        parameters={"SeenDir": str(folder / "seen")},
        settings=LocalSettings(async_retry_seconds=(0.1,), schedule_poll_seconds=0.05),
        sandbox_server=StubSandboxServer(),
        clock=clock,
        **options,
    )


@pytest.fixture(scope="session")
def playground_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Playground]]:
    # Only one stack may run per process: tests that start their own put this one down first.
    current: dict[str, Playground] = {}
    yield current
    if "it" in current:
        current["it"].stack.stop()


@pytest.fixture
def playground(
    playground_session: dict[str, Playground], tmp_path_factory: pytest.TempPathFactory
) -> Playground:
    """The shared stack, started on first use."""
    if "it" not in playground_session:
        folder = tmp_path_factory.mktemp("playground")
        clock = ManualClock()
        stack = playground_stack(folder, clock)
        endpoints = stack.start()
        playground_session["it"] = Playground(stack, endpoints, clock, folder / "seen")
    return playground_session["it"]


@pytest.fixture
def no_playground(playground_session: dict[str, Playground]) -> None:
    """For tests that start a stack of their own in this process."""
    if "it" in playground_session:
        playground_session.pop("it").stack.stop()

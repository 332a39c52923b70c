"""What the embedded AWS does not keep in memory, and does not look at."""

from __future__ import annotations

import subprocess
import sys

MEMORY = """\
from glovebox_local.aws.emulator import _install_repairs
_install_repairs()
import boto3, moto
from moto.ec2.models import instance_types
assert not instance_types.INSTANCE_TYPES and not any(
    offers for regions in instance_types.INSTANCE_TYPE_OFFERINGS.values()
    for offers in regions.values()
), "EC2's instance types were read"
from moto.utilities.utils import load_resource
assert load_resource("ec2/resources/instance_types.json"), "the repair outlived its purpose"

with moto.mock_aws():
    from moto.s3.models import s3_backends
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="bucket")
    contents = {"small": b"x" * 1000, "large": b"x" * 1_000_000}
    for key, content in contents.items():
        s3.put_object(Bucket="bucket", Key=key, Body=content)
    keys = s3_backends["123456789012"]["global"].buckets["bucket"].keys
    on_disk = {key: keys[key]._value_buffer._rolled for key in contents}
    assert on_disk == {"small": False, "large": True}, on_disk
    assert {k: s3.get_object(Bucket="bucket", Key=k)["Body"].read() for k in contents} == contents
"""

INSTANCES = """\
import gc
from glovebox_local.aws.emulator import _install_repairs
_install_repairs()
import boto3, moto
with moto.mock_aws():
    from moto.dynamodb.models.dynamo_type import Item
    table = boto3.client("dynamodb", region_name="us-east-1")
    table.create_table(
        TableName="t", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    table.put_item(TableName="t", Item={"pk": {"S": "x"}})
    def kept():
        gc.collect()
        return sum(isinstance(found, Item) for found in gc.get_objects())
    def ask():
        table.query(TableName="t", KeyConditionExpression="pk = :x",
                    ExpressionAttributeValues={":x": {"S": "x"}})
    ask()
    before = kept()
    for _ in range(20):
        ask()
    assert kept() == before, (before, kept())
"""

QUERIES = """\
import boto3, moto
from moto.dynamodb.models.table import Table
stock, stock_items, looked_at = Table.query, Table.all_items, []
from glovebox_local.aws.emulator import _install_repairs
_install_repairs()
repaired = Table.query

def counting(self):
    items = stock_items(self)
    looked_at.append(len(items))
    return items

with moto.mock_aws():
    dynamodb = boto3.client("dynamodb", region_name="us-east-1")
    def key(hash_key, range_key):
        return [
            {"AttributeName": hash_key, "KeyType": "HASH"},
            {"AttributeName": range_key, "KeyType": "RANGE"},
        ]
    everything = {"ProjectionType": "ALL"}
    names = {"pk": "S", "sk": "S", "at": "N", "state": "S"}
    dynamodb.create_table(
        TableName="table", BillingMode="PAY_PER_REQUEST", KeySchema=key("pk", "sk"),
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind} for name, kind in names.items()
        ],
        LocalSecondaryIndexes=[
            {"IndexName": "Local", "KeySchema": key("pk", "at"), "Projection": everything}
        ],
        GlobalSecondaryIndexes=[
            {"IndexName": "Global", "KeySchema": key("state", "at"), "Projection": everything}
        ],
    )
    for run in range(10):
        for number in range(20):
            dynamodb.put_item(TableName="table", Item={
                "pk": {"S": f"run{run}"}, "sk": {"S": f"{number:02}"},
                "at": {"N": str(100 - number)}, "state": {"S": "open" if run % 2 else "done"},
            })
    def asked(name, value, **more):
        return dict(
            TableName="table", KeyConditionExpression="#k = :v" + more.pop("and_", ""),
            ExpressionAttributeNames={"#k": name},
            ExpressionAttributeValues={":v": {"S": value}, **more.pop("values", {})}, **more,
        )
    since = {"and_": " AND at >= :at", "values": {":at": {"N": "95"}}}
    pages = {"Limit": 7, "ExclusiveStartKey": {"pk": {"S": "run3"}, "sk": {"S": "04"}}}
    queries = {
        "table": (asked("pk", "run3"), 20), "page": (asked("pk", "run3", **pages), 20),
        "local": (asked("pk", "run4", IndexName="Local", **since), 20),
        "global": (asked("state", "open", IndexName="Global"), 200),
        "nobody": (asked("pk", "run99"), 200),
    }
    Table.all_items = counting
    for name, (query, most) in queries.items():
        Table.query = stock
        expected = dynamodb.query(**query)
        Table.query = repaired
        looked_at.clear()
        found = dynamodb.query(**query)
        assert found["Items"] == expected["Items"], name
        assert found.get("LastEvaluatedKey") == expected.get("LastEvaluatedKey"), name
        assert sum(looked_at) <= most, (name, looked_at)
    assert len(dynamodb.query(**queries["local"][0])["Items"]) == 6
"""


TRANSACTIONS = """\
from glovebox_local.aws.emulator import _install_repairs
_install_repairs()
import boto3, moto
from moto.dynamodb.models.dynamo_type import Item
copied = []
Item.__deepcopy__ = lambda self, memo: copied.append(self) or Item(
    self.hash_key, self.range_key, {k: v.to_regular_json() for k, v in self.attrs.items()}
)
def item(pk, sk, n):
    return {"pk": {"S": pk}, "sk": {"S": sk}, "n": {"N": str(n)}, "list": {"L": [{"N": "1"}]}}
def put(pk, sk, n, **more):
    return {"Put": {"TableName": "t", "Item": item(pk, sk, n), **more}}
with moto.mock_aws():
    dynamodb = boto3.client("dynamodb", region_name="us-east-1")
    dynamodb.create_table(
        TableName="t", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}
        ],
    )
    def everything():
        found = dynamodb.scan(TableName="t")["Items"]
        return sorted(found, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))
    for first in (0, 50):
        dynamodb.transact_write_items(
            TransactItems=[put("old", f"{first + n:03}", n) for n in range(50)]
        )
    assert len(everything()) == 100
    before = everything()
    copied.clear()
    update = {"TableName": "t", "Key": {"pk": {"S": "old"}, "sk": {"S": "001"}},
              "UpdateExpression": "SET n = :n, #l[0] = :n",
              "ExpressionAttributeNames": {"#l": "list"},
              "ExpressionAttributeValues": {":n": {"N": "999"}}}
    writes = [
        put("old", "000", 999), put("old", "new", 999), put("new", "new", 999), {"Update": update},
        {"Delete": {"TableName": "t", "Key": {"pk": {"S": "old"}, "sk": {"S": "002"}}}},
    ]
    refused = put("old", "003", 999, ConditionExpression="attribute_not_exists(pk)")
    try:
        dynamodb.transact_write_items(TransactItems=[*writes, refused])
    except dynamodb.exceptions.TransactionCanceledException as error:
        reasons = [reason["Code"] for reason in error.response["CancellationReasons"]]
        assert reasons == ["None"] * 5 + ["ConditionalCheckFailed"], reasons
    else:
        raise AssertionError("the condition held")
    assert len(copied) < 10, f"{len(copied)} items were copied"
    assert everything() == before
    dynamodb.transact_write_items(TransactItems=writes)
    after = {(i["pk"]["S"], i["sk"]["S"]): i["n"]["N"] for i in everything()}
    assert len(after) == 101
    assert [k for k, n in after.items() if n == "999"] == [
        ("new", "new"), ("old", "000"), ("old", "001"), ("old", "new")
    ]
"""


def run_program(program: str) -> None:
    """Run it in a process of its own, since repairs are for good. An assertion fails the test."""
    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "PATH": ""}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_query_looks_at_its_own_partition_and_finds_what_it_found_before() -> None:
    run_program(QUERIES)


def test_neither_instance_types_nor_large_objects_stay_in_memory() -> None:
    run_program(MEMORY)


def test_the_rows_of_an_answer_do_not_outlive_it() -> None:
    run_program(INSTANCES)


def test_a_transaction_copies_no_more_than_it_writes_and_a_failed_one_changes_nothing() -> None:
    run_program(TRANSACTIONS)

"""What the embedded AWS does not keep in memory."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """\
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


def test_neither_instance_types_nor_large_objects_stay_in_memory() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "PATH": ""}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr

"""The data bucket: what the fake promises, S3 keeps."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from glovebox.adapters.s3_artifacts import S3Artifacts
from glovebox.domain.errors import NotFound, SourceError
from glovebox.ports import Artifacts
from moto import mock_aws

from tests.fakes import MemoryArtifacts


@pytest.fixture(params=["memory", "s3"])
def artifacts(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Artifacts]:
    if request.param == "memory":
        yield MemoryArtifacts()
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="data")
        client.create_bucket(Bucket="foreign")
        client.put_object(Bucket="foreign", Key="k", Body=b"secret")
        yield S3Artifacts(client, "data")


def test_an_object_is_read_as_it_was_written(artifacts: Artifacts) -> None:
    artifacts.put("a/b.json", b"one", "application/json")
    artifacts.put("a/b.json", b"two", "application/json")
    assert artifacts.get("a/b.json", limit=3) == b"two"


def test_of_two_writers_of_a_new_object_the_first_wins(artifacts: Artifacts) -> None:
    assert artifacts.put_new("k", b"one", "text/plain") is True
    assert artifacts.put_new("k", b"two", "text/plain") is False
    assert artifacts.get("k", limit=3) == b"one"


def test_a_missing_object_is_not_found(artifacts: Artifacts) -> None:
    with pytest.raises(NotFound):
        artifacts.get("nothing", limit=10)


def test_an_object_is_there_or_not(artifacts: Artifacts) -> None:
    artifacts.put("a/b", b"", "text/plain")
    assert artifacts.has("a/b")
    assert not artifacts.has("a")


def test_an_object_over_the_limit_is_refused(artifacts: Artifacts) -> None:
    artifacts.put("big", b"1234", "text/plain")
    with pytest.raises(SourceError):
        artifacts.get("big", limit=3)


def test_an_object_is_found_by_its_uri(artifacts: Artifacts) -> None:
    artifacts.put("k", b"x", "text/plain")
    assert artifacts.get_uri(artifacts.uri("k"), limit=10) == b"x"


@pytest.mark.parametrize("uri", ["s3://foreign/k", "s3://data/nothing", "s3:///k", "k"])
def test_other_buckets_and_missing_objects_are_no_source(artifacts: Artifacts, uri: str) -> None:
    with pytest.raises(SourceError):
        artifacts.get_uri(uri, limit=10)


def test_urls_name_the_object_and_how_long_they_hold(artifacts: Artifacts) -> None:
    for url in (
        artifacts.download_url("a/b.json", expires_in_seconds=77),
        artifacts.upload_url("a/b.json", expires_in_seconds=77),
    ):
        assert "a/b.json" in url
        assert "77" in url or "Expires" in url

"""The data bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from glovebox.domain.errors import NotFound, SourceError, StoreConflict

if TYPE_CHECKING:
    from collections.abc import Collection

    from mypy_boto3_s3 import S3Client

_MISSING = {"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404", "AccessDenied"}

_RACE_TRIES = 5


class S3Artifacts:
    """Implements `ports.Artifacts` on one bucket.

    Users name objects by URI: `readable_buckets` are those that they may name beside it.
    """

    def __init__(
        self, client: S3Client, bucket: str, readable_buckets: Collection[str] = ()
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._readable = {bucket, *readable_buckets}

    def put(self, key: str, content: bytes, content_type: str) -> None:
        """Write an object, replacing what is there."""
        self._client.put_object(
            Bucket=self._bucket, Key=key, Body=content, ContentType=content_type
        )

    def put_new(self, key: str, content: bytes, content_type: str) -> bool:
        """Write an object unless there is one; False where there was. A write that went through
        unheard may be told as False."""
        for _ in range(_RACE_TRIES):
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=content,
                    ContentType=content_type,
                    IfNoneMatch="*",
                )
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code")
                if code == "PreconditionFailed":
                    return False
                if code != "ConditionalRequestConflict":
                    raise
                continue  # another write to this key is under way: which one wins is not known yet
            return True
        message = f"{key} was written to {_RACE_TRIES} times at once"
        raise StoreConflict(message)

    def get(self, key: str, *, limit: int, version: str | None = None) -> bytes:
        """Read an object of at most `limit` bytes, in its newest version where none is named.
        Raises NotFound; SourceError if longer."""
        return self._get(self._bucket, key, limit, version)

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            # Who may not list the bucket is told 403 of what is not there.
            if error.response.get("Error", {}).get("Code") in {*_MISSING, "403"}:
                return False
            raise
        return True

    def get_uri(self, uri: str, *, limit: int) -> bytes:
        """Read `s3://bucket/key`. Raises NotFound; SourceError if longer or not allowed."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket not in self._readable:
            raise SourceError(f"{uri}: only objects of this service's own buckets can be used")
        try:
            return self._get(bucket, key, limit)
        except NotFound as error:
            raise SourceError(f"{uri}: there is no such object") from error

    def _get(self, bucket: str, key: str, limit: int, version: str | None = None) -> bytes:
        named: dict[str, Any] = {} if version is None else {"VersionId": version}
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key, **named)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                raise NotFound(key) from error
            raise
        with answer["Body"] as body:
            if answer["ContentLength"] > limit:
                raise SourceError(f"s3://{bucket}/{key} is longer than {limit} bytes")
            return body.read()

    def download_url(self, key: str, *, expires_in_seconds: int) -> str:
        """A presigned URL that serves the object as an attachment."""
        name = key.rpartition("/")[2]
        return self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ResponseContentDisposition": f'attachment; filename="{name}"',
            },
            ExpiresIn=expires_in_seconds,
        )

    def upload_url(self, key: str, *, expires_in_seconds: int) -> str:
        """A presigned URL that takes the object by PUT."""
        return self._client.generate_presigned_url(
            "put_object",
            Params={"Bucket": self._bucket, "Key": key, "ContentType": "application/gzip"},
            ExpiresIn=expires_in_seconds,
        )

    def uri(self, key: str) -> str:
        """The object as `s3://bucket/key`."""
        return f"s3://{self._bucket}/{key}"

"""Which runs use which images of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from glovebox.adapters.dynamodb_table import KEEP_SECONDS, LedgerTable
from glovebox.domain.moment import to_epoch_seconds, to_timestamp
from glovebox.domain.ownership import ImageUse

_IMAGE, _RUN = "image#", "run#"


class ImageRows(LedgerTable):
    """The part of `ports.Runs` about images. The index ByState finds these rows by their age."""

    def note_image(self, use: ImageUse) -> None:
        """Remember that a run uses an image of ours."""
        self._client.put_item(
            TableName=self._table,
            Item={
                **_use_key(use),
                "state_pk": {"S": "image"},
                "created_at": {"S": to_timestamp(use.at)},
                "expires_at": {"N": str(int(use.at + KEEP_SECONDS))},
            },
        )

    def image_uses_before(self, moment: float) -> Iterator[ImageUse]:
        """The uses noted before a moment (epoch seconds), oldest first."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="ByState",
            KeyConditionExpression="state_pk = :state AND created_at < :before",
            ExpressionAttributeValues={
                ":state": {"S": "image"},
                ":before": {"S": to_timestamp(moment)},
            },
        )
        for page in pages:
            yield from map(_use, page["Items"])

    def uses_of_image(self, name: str) -> Sequence[ImageUse]:
        """All uses of an image."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"{_IMAGE}{name}"}},
            ConsistentRead=True,
        )
        return [_use(item) for page in pages for item in page["Items"]]

    def forget_image(self, use: ImageUse) -> None:
        """The run needs the image no more. Said again, it is no error."""
        self._client.delete_item(TableName=self._table, Key=_use_key(use))


def _use_key(use: ImageUse) -> dict[str, dict[str, str]]:
    return {"pk": {"S": f"{_IMAGE}{use.name}"}, "sk": {"S": f"{_RUN}{use.run_id}"}}


def _use(item: Mapping[str, Any]) -> ImageUse:
    return ImageUse(
        item["pk"]["S"].removeprefix(_IMAGE),
        item["sk"]["S"].removeprefix(_RUN),
        to_epoch_seconds(item["created_at"]["S"]),
    )

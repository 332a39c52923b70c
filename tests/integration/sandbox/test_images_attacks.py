"""The attacks on the host once more, from sandboxes of a built image: the same verdicts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.sandbox.client import Box, Client
from tests.integration.sandbox.image_building import image, run
from tests.integration.sandbox.test_attacks_on_the_host import *  # noqa: F403


@pytest.fixture(scope="module")
def of_image(client: Client) -> Iterator[str]:
    with image(client, [run("mkdir folder; echo x > folder/file")]) as image_id:
        yield image_id


@pytest.fixture(scope="module")
def shared(client: Client, of_image: str) -> Iterator[Box]:
    box = client.create(template_id=of_image, template_name=None)
    yield box
    box.kill()


@pytest.fixture
def box(client: Client, of_image: str) -> Iterator[Box]:
    box = client.create(template_id=of_image, template_name=None)
    yield box
    box.kill()


def test_they_are_sandboxes_of_the_image(shared: Box) -> None:
    assert shared.shell("cat /workspace/folder/file") == "x"

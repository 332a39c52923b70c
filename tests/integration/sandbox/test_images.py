"""Sandboxes of an image: what they see, what they may do to it, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.sandbox.client import Box, Client
from tests.integration.sandbox.image_building import (
    build,
    copy,
    image,
    run,
    tar_of,
    upload,
)

TREE = {
    "file": b"from the image\n",
    "folder/inner/deep": b"deep\n",
    "folder/other": b"other\n",
}
# Everything that an owner may do, below a folder that came with the image.
OWNER = """
set -e
test "$(stat -c %U /workspace /workspace/file /workspace/folder | sort -u)" = sandbox
echo more >> file; grep -q more file
chmod 600 file; test "$(stat -c %a file)" = 600
chmod 700 .; chmod 755 .
echo new > folder/new
mv folder moved; test -f moved/inner/deep; test -f moved/new
python -c 'import os; os.rename("moved/inner", "elsewhere"); os.utime("elsewhere/deep", (1, 2))'
ln file hard; ln -s file soft; cat soft >/dev/null
rm -r moved; mkdir moved; test -z "$(ls moved)"
rm file; ! test -e file; echo again > file
python -c 'import os; os.setxattr("file", "user.note", b"x")'
touch -d @5 moved
echo done
"""


@pytest.fixture(scope="module")
def tree(client: Client) -> Iterator[str]:
    with image(client, [copy(upload(client, tar_of(TREE)))]) as image_id:
        yield image_id


@pytest.fixture
def of_tree(client: Client, tree: str) -> Iterator[Box]:
    box = client.create(template_id=tree, template_name=None)
    yield box
    box.kill()


def test_a_sandbox_has_the_images_files(of_tree: Box) -> None:
    assert of_tree.shell("cat file folder/inner/deep folder/other") == "from the image\ndeep\nother"


def test_the_sandboxes_user_owns_them_and_may_do_anything_with_them(of_tree: Box) -> None:
    assert of_tree.shell(OWNER) == "done"


def test_what_one_sandbox_does_shows_in_no_other(client: Client, tree: str) -> None:
    first = client.create(template_id=tree, template_name=None)
    assert first.shell("echo x > file; rm -r folder; echo y > new; ls") == "file\nnew"
    second = client.create(template_id=tree, template_name=None)
    assert second.shell("cat file; ls; ls folder") == "from the image\nfile\nfolder\ninner\nother"
    assert first.shell("ls") == "file\nnew"
    first.kill()
    second.kill()


def test_the_agents_files_are_those_of_the_image(of_tree: Box) -> None:
    assert of_tree.file("read", "/workspace/file").body["content"] == "from the image\n"
    assert {f["name"] for f in of_tree.file("list", "/workspace").body["files"]} == {
        "file",
        "folder",
    }
    assert of_tree.write("/workspace/folder/other", "changed").status == 200
    assert of_tree.shell("cat folder/other; stat -c %U folder/other") == "changedsandbox"
    assert of_tree.file("remove", "/workspace/folder", "DELETE").status == 200
    assert of_tree.shell("ls") == "file"
    assert of_tree.file("exists", "/workspace/folder/other").body["exists"] is False


def test_a_link_of_the_image_leads_the_agent_nowhere(client: Client) -> None:
    with image(client, [run("ln -s /etc etc; ln -s / root")]) as image_id:
        box = client.create(template_id=image_id, template_name=None)
        assert box.file("read", "/workspace/etc/passwd").status == 403
        assert box.file("list", "/workspace/root").status == 403
        box.kill()


def test_its_folders_are_still_of_a_size(of_tree: Box) -> None:
    printed = of_tree.shell(
        "for n in 1 2 3; do head -c 30M /dev/zero > $n; done; df --output=size -m ."
    )
    assert "No space left" in printed
    assert "64" in printed.split()


def test_a_file_that_nobody_may_read_can_be_opened_up_by_its_owner(client: Client) -> None:
    with image(client, [run("mkdir d; echo x > d/f; chmod 0 d/f; chmod 0 d")]) as image_id:
        box = client.create(template_id=image_id, template_name=None)
        assert "Permission denied" in box.shell("ls d")
        assert "Permission denied" in box.shell("chmod 700 d; cat d/f")
        assert box.shell("chmod 600 d/f; cat d/f; rm -r d; ls") == "x"
        box.kill()


def test_what_commands_of_the_build_made_is_there(client: Client) -> None:
    steps = [
        run("mkdir -p .local/bin && echo 'echo I am installed' > .local/bin/tool"),
        run("chmod +x .local/bin/tool; head -c 1000000 /dev/urandom > data"),
    ]
    with image(client, steps) as image_id:
        box = client.create(template_id=image_id, template_name=None)
        assert box.shell("tool; stat -c %s data") == "I am installed\n1000000"
        box.kill()


@pytest.mark.needs_root
@pytest.mark.skipif(not Path("/usr/bin/npm").exists(), reason="this machine has no npm below /usr")
def test_npm_as_the_sdk_calls_it_installs_programs_that_are_found(client: Client) -> None:
    package = {
        "pkg/package.json": b'{"name": "tiny", "version": "1.0.0", "bin": {"tiny": "run.js"}}',
        "pkg/run.js": b"#!/usr/bin/env node\nconsole.log('tiny runs')\n",
    }
    steps = [
        copy(upload(client, tar_of(package))),
        run("chmod +x pkg/run.js && /usr/local/bin/npm install -g --offline --no-audit ./pkg"),
    ]
    with image(client, steps) as image_id:
        box = client.create(template_id=image_id, template_name=None)
        assert box.shell("tiny") == "tiny runs"
        box.kill()


def test_an_image_on_another_has_the_files_of_both_and_lacks_what_it_removed(
    client: Client, tree: str
) -> None:
    with image(client, [run("rm -r folder; echo two > second")], from_image=tree) as image_id:
        for _ in range(2):
            box = client.create(template_id=image_id, template_name=None)
            assert box.shell("ls; cat file second; rm file; mkdir folder; ls folder") == (
                "file\nsecond\nfrom the image\ntwo"
            )
            box.kill()


def test_a_sandbox_outlives_its_image(client: Client) -> None:
    built = build(client, [copy(upload(client, tar_of(TREE)))])
    box = client.create(template_id=built["template_id"], template_name=None)
    assert client.ask("DELETE", f"/v1/templates/{built['template_id']}").status == 200
    assert box.shell("cat file folder/other") == "from the image\nother"
    box.kill()
    refused = client.ask("POST", "/v1/sandboxes", {"template_id": built["template_id"]})
    assert refused.status == 404


@pytest.mark.needs_root
def test_an_image_may_have_files_beside_the_workspace(client: Client) -> None:
    archive = upload(client, tar_of({"src/main.py": b"print('app')\n"}))
    steps = [
        {"type": "WORKDIR", "args": ["/app"]},
        copy(archive, "/app/", "src"),
        run("python main.py > said"),
    ]
    with image(client, steps) as image_id:
        box = client.create(template_id=image_id, template_name=None)
        assert box.shell("cd /app && ls && cat said && echo x > main.py") == "main.py\nsaid\napp"
        box.kill()
    base = client.create()
    assert "Read-only" in base.shell("ls -A /app; touch /app/x")
    base.kill()

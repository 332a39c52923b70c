"""docs/local.md about images: its example runs, and every flag is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, Client

PAGE = (Path(__file__).parents[3] / "docs/local.md").read_text()


def test_the_example_builds_an_image_that_starts(
    server: SandboxServerProcess, client: Client, tmp_path: Path
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    example = next(block for block in blocks if "BuildOptions(" in block)
    for documented, here in (("http://127.0.0.1:8800", server.url), ('"secret"', f'"{API_KEY}"')):
        assert documented in example
        example = example.replace(documented, here)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/requirements.txt").write_text("")
    (tmp_path / "src/page").write_text("a page")
    command = [sys.executable, "-W", "ignore", "-c", example]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    box = client.create(template_name="mine")
    fetched = (
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/src/page').read())"
    )
    assert box.shell(f'echo $MODE; python -c "{fetched}"') == "test\nb'a page'"
    box.kill()
    assert client.ask("DELETE", "/v1/templates/mine").status == 200


def test_every_flag_about_images_is_documented() -> None:
    command = [sys.executable, "-m", "glovebox_local.sandbox", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    flags = set(re.findall(r"--(?:build|images|max-images)[a-z-]*", text))
    assert len(flags) >= 4
    assert {flag for flag in flags if f"`{flag}`" not in PAGE} == set()

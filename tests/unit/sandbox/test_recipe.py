from __future__ import annotations

import pytest
from glovebox_local.sandbox.recipe import View, bwrap_options
from glovebox_local.sandbox.settings import SandboxSettings

SETTINGS = SandboxSettings(api_key="k", workspace_mb=7)


def options(*, network: bool, has_etc: bool = False) -> list[str]:
    before, _, after = bwrap_options(SETTINGS, View((), has_etc), network=network)
    return [*before, *after]


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize(
    "word",
    [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--assert-userns-disabled"),
        *("--cap-drop", "--new-session", "--die-with-parent", "--clearenv", "--as-pid-1"),
    ],
)
def test_every_sandbox_has_the_whole_recipe(word: str, network: bool) -> None:
    assert word in options(network=network)


def test_only_a_sandbox_with_a_network_shares_the_hosts() -> None:
    assert "--share-net" in options(network=True)
    assert "--share-net" not in options(network=False)


def test_what_is_writable_has_a_size() -> None:
    words = options(network=False)
    for position, word in enumerate(words):
        if word == "--tmpfs":
            assert words[position - 4] == "--size"
    where = words.index("/workspace")
    assert words[where - 5 : where] == ["--size", str(7 << 20), "--perms", "0755", "--tmpfs"]
    assert not {"--bind", "--dev-bind"} & set(words)


def test_the_root_is_sealed_last() -> None:
    assert options(network=False)[-4:] == ["--remount-ro", "/", "--chdir", "/workspace"]


@pytest.mark.parametrize("network", [True, False])
def test_only_a_sandbox_with_a_network_sees_how_the_host_resolves_names(network: bool) -> None:
    assert ("/etc/resolv.conf" in options(network=network, has_etc=True)) == network


def test_a_prepared_etc_takes_the_place_of_single_files() -> None:
    _, files, _ = bwrap_options(SETTINGS, View((), has_etc=True), network=False)
    assert files == ()
    _, files, _ = bwrap_options(SETTINGS, View((), has_etc=False), network=False)
    assert {"/etc/passwd", "/etc/hosts"} <= {path for path, _ in files}

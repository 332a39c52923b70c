"""Archives and steps that mean harm, and builds that are cut short."""

from __future__ import annotations

import gzip
import io
import os
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, SMALL, Client, eventually
from tests.integration.sandbox.image_building import (
    begin,
    build,
    copy,
    finish,
    image,
    run,
    tar_of,
    upload,
)
from tests.integration.sandbox.traces import family, groups_of


def entry(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o777
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        made.devmajor, made.devminor = 1, 3
    return made


def through_a_link() -> bytes:
    return tar_of({"l": entry("link", tarfile.SYMTYPE, "/tmp"), "link/escaped": b"x"})


def truncated() -> bytes:
    whole = tar_of({"a": os.urandom(100_000)})
    return whole[: len(whole) // 2]


def bomb() -> bytes:
    """512 MiB of nothing in half a megabyte."""
    whole = io.BytesIO()
    with gzip.GzipFile(fileobj=whole, mode="wb", compresslevel=9) as packed:
        made = tarfile.TarInfo("big")
        made.size = 512 << 20
        packed.write(made.tobuf())
        for _ in range(512):
            packed.write(bytes(1 << 20))
    return whole.getvalue()


REFUSED: list[tuple[str, Callable[[], bytes]]] = [
    ("a way up", lambda: tar_of({"../up": b"x"})),
    ("a way up, later", lambda: tar_of({"ok": b"x", "a/../../../tmp/up": b"x"})),
    ("a link out", lambda: tar_of({"l": entry("l", tarfile.SYMTYPE, "/etc/passwd")})),
    ("a link up", lambda: tar_of({"l": entry("l", tarfile.SYMTYPE, "../../etc")})),
    ("through a link", through_a_link),
    ("a hard link out", lambda: tar_of({"h": entry("h", tarfile.LNKTYPE, "/etc/passwd")})),
    ("a character device", lambda: tar_of({"d": entry("d", tarfile.CHRTYPE)})),
    ("a block device", lambda: tar_of({"d": entry("d", tarfile.BLKTYPE)})),
    ("a pipe", lambda: tar_of({"p": entry("p", tarfile.FIFOTYPE)})),
    ("no archive", lambda: b"this is no archive at all"),
    ("half an archive", truncated),
    ("a bomb", bomb),
    ("a very deep path", lambda: tar_of({"a/" * 3000 + "f": b"x"})),
    ("an empty archive", lambda: tar_of({})),
]


@pytest.mark.parametrize("make", [m for _, m in REFUSED], ids=[name for name, _ in REFUSED])
def test_an_archive_that_means_harm_fails_the_build(
    client: Client, make: Callable[[], bytes]
) -> None:
    built = build(client, [copy(upload(client, make()))])
    assert built["status"] == "failed"
    assert "COPY failed" in built["error_message"]
    assert client.ask("GET", "/health").status == 200
    client.ask("DELETE", f"/v1/templates/{built['template_id']}")


def test_rights_that_a_file_claims_are_taken_from_it(client: Client) -> None:
    claimed = tarfile.TarInfo("rooted")
    claimed.mode, claimed.uid, claimed.gid = 0o6777, 0, 0
    archive = upload(client, tar_of({"rooted": claimed}))
    with image(
        client, [copy(archive), run("chmod u+s rooted; cp /usr/bin/id .; chmod 4755 id")]
    ) as made:
        box = client.create(template_id=made, template_name=None)
        assert box.shell("stat -c '%U' rooted") == "sandbox"
        assert box.shell("./id -u; grep -c nosuid /proc/self/mountinfo >/dev/null && echo ok") == (
            "1000\nok"
        )
        flags = (
            box.shell("grep ' /workspace ' /proc/self/mountinfo | tail -1").split()[5].split(",")
        )
        assert {"nosuid", "nodev"} <= set(flags)
        box.kill()


def test_a_copy_goes_nowhere_but_where_images_have_files(client: Client) -> None:
    archive = upload(client, tar_of({"f": b"x"}))
    for target in ("/etc/", "/usr/local/bin/", "../etc", "/workspace/../usr", "/workspacex", "/"):
        built = build(client, [copy(archive, target)])
        assert built["status"] == "failed"
        assert "an image's files lie below" in built["error_message"]
        client.ask("DELETE", f"/v1/templates/{built['template_id']}")


def test_words_of_a_step_are_data_and_no_options_or_shell(client: Client) -> None:
    archive = upload(client, tar_of({"-rf": b"x", "$(touch evil)": b"x"}))
    steps = [
        copy(archive, "/workspace/$(touch evil); touch evil/", "-rf,$(touch evil)"),
        {"type": "WORKDIR", "args": ["/workspace/--help"]},
        {"type": "WORKDIR", "args": ["/workspace"]},
    ]
    with image(client, steps) as made:
        box = client.create(template_id=made, template_name=None)
        assert box.shell("find . -name evil; ls -A") == "$(touch evil); touch evil\n--help"
        box.kill()


@pytest.mark.needs_root
def test_nothing_of_overlays_can_be_forged_from_inside(client: Client) -> None:
    code = """
        import os, stat
        for name in ("trusted.overlay.redirect", "trusted.overlay.opaque"):
            try:
                os.setxattr("folder", name, b"/etc")
            except OSError as error:
                print(error.strerror)
    """
    with image(client, [run("mkdir folder; echo x > folder/f")]) as made:
        box = client.create(template_id=made, template_name=None)
        assert box.python(code) == "Operation not permitted\nOperation not permitted"
        assert "Operation not permitted" in box.shell("mknod folder/f2 c 1 3; mount -t tmpfs x .")
        box.kill()


def test_a_build_that_forks_and_fills_ends_and_its_neighbour_does_not(client: Client) -> None:
    fill = "head -c 200M /dev/zero > big"
    bomb = "(while :; do sleep 9 & done) 2>&1 | tail -c 99"
    began = begin(client, [run(f"{fill}; {bomb}")]).body
    box = client.create()
    assert box.shell("echo fine") == "fine"
    box.kill()
    client.ask("DELETE", f"/v1/templates/{began['template_id']}")
    assert finish(client, began["build_id"])["error_message"] == "the build was ended"


@pytest.mark.needs_root
def test_a_build_of_very_many_files_ends_at_its_number(client: Client) -> None:
    code = "python -c 'for n in range(40_000): open(str(n), \"w\").close()'"
    built = build(client, [run(code)])
    assert built["status"] == "failed"
    assert "No space left" in built["log"]
    client.ask("DELETE", f"/v1/templates/{built['template_id']}")


@pytest.fixture
def own(request: pytest.FixtureRequest) -> SandboxServerProcess:
    options = getattr(request, "param", ())
    return SandboxServerProcess(API_KEY, options=(*SMALL, *options))


@pytest.mark.parametrize("own", [("--build-seconds", "1")], indirect=True)
def test_a_build_has_its_time(own: SandboxServerProcess) -> None:
    with own as server:
        client = Client(server.url)
        built = build(client, [run("sleep 55 & sleep 55")])
        assert built["status"] == "failed"
        assert "1 second" in built["error_message"]
        assert eventually(lambda: not sleepers(server.pid))


@pytest.mark.parametrize("own", [("--images-mb", "40", "--max-images", "4")], indirect=True)
def test_images_have_their_size_and_number(own: SandboxServerProcess) -> None:
    with own as server:
        client = Client(server.url)
        fill = "head -c 25M /dev/urandom > data"
        first = build(client, [run(fill)])
        assert first["status"] == "active", first["log"]
        second = build(client, [run(f"{fill} && true")])
        assert second["status"] == "failed"
        assert "No space left" in second["log"]
        assert begin(client, [run("true")]).status == 403
        for made in (first, second):
            client.ask("DELETE", f"/v1/templates/{made['template_id']}")
        # What was deleted makes room.
        third = build(client, [run(f"{fill} && true")])
        assert third["status"] == "active", third["log"]


@pytest.mark.parametrize("own", [("--build-offline",)], indirect=True)
def test_builds_have_a_network_only_if_the_service_gives_it(
    own: SandboxServerProcess, client: Client
) -> None:
    count = "ls /sys/class/net 2>/dev/null; cat /proc/net/dev | grep -c :"
    with own as server:
        assert "\n1\n" in build(Client(server.url), [run(count)])["log"]
    here = len([line for line in Path("/proc/net/dev").read_text().splitlines() if ":" in line])
    built = build(client, [run(f"{count} ")])
    assert f"\n{here}\n" in built["log"]
    client.ask("DELETE", f"/v1/templates/{built['template_id']}")


def test_images_and_their_sandboxes_leave_nothing(
    server: SandboxServerProcess, client: Client
) -> None:
    process = psutil.Process(server.pid)

    def use(number: int) -> None:
        steps = [copy(upload(client, tar_of({"f": f"{number}".encode()}, "w"))), run("echo x > y")]
        with image(client, steps) as below, image(client, [run("rm f")], from_image=below) as above:
            for made in (below, above):
                box = client.create(template_id=made, template_name=None)
                assert box.shell("cat y; echo z > y") == "x"
                box.kill()

    def at_rest() -> tuple[int, int, str]:
        mounts = Path(f"/proc/{server.pid}/mountinfo").read_text()
        return process.num_fds(), len(family(server.pid)), mounts

    use(0)
    assert eventually(lambda: len(family(server.pid)) % 3 == 2)
    before = at_rest()
    for number in range(10):
        use(number % 2)  # archives stay, so that the same two come again
    assert eventually(lambda: at_rest()[0] <= before[0] + 1)  # the other archive
    assert eventually(lambda: at_rest()[1:] == before[1:])


def sleepers(pid: int) -> list[psutil.Process]:
    found = []
    for process in family(pid):
        try:
            if process.name() == "sleep":
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_service_that_ends_within_a_build_leaves_nothing(
    own: SandboxServerProcess, ending: signal.Signals
) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    before = set(Path(tempfile.gettempdir()).iterdir())
    server = own
    server.start()
    try:
        client = Client(server.url)
        build(client, [copy(upload(client, tar_of({"f": b"x" * 1000})))])
        begin(client, [run("sleep 54")])
        assert eventually(lambda: bool(sleepers(server.pid)))
        everybody = family(server.pid)
        os.kill(server.pid, ending)
        assert eventually(lambda: not any(lives(process) for process in everybody))
    finally:
        server.stop()
    assert Path("/proc/self/mountinfo").read_text() == mounts
    new = set(Path(tempfile.gettempdir()).iterdir()) - before
    assert not {path for path in new if path.name.startswith("glovebox")}
    assert groups_of(server.pid) == []


class CopyingServer(SandboxServerProcess):
    """A service that takes the kernel for one without copy-on-write images."""

    def command(self) -> list[str]:
        program = (
            "from glovebox_local.sandbox.service import run\n"
            "from glovebox_local.sandbox.settings import SandboxSettings\n"
            f"run(SandboxSettings(api_key={API_KEY!r}, share_images=False))\n"
        )
        return [sys.executable, "-c", program]


class UnprivilegedServer(SandboxServerProcess):
    """A service that may not mount, as an ordinary user's, or root's in many a container."""

    def command(self) -> list[str]:
        without = ("--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
        return ["setpriv", *without, *super().command()] if os.geteuid() == 0 else super().command()


@pytest.mark.parametrize("service", [CopyingServer, UnprivilegedServer])
def test_without_copy_on_write_every_sandbox_unpacks_a_copy_of_its_own(
    service: type[SandboxServerProcess],
) -> None:
    with service(API_KEY) as server:
        client = Client(server.url)
        assert client.ask("GET", "/health").body["images"] == "copied"
        archive = upload(client, tar_of({"file": b"here\n", "folder/other": b"x"}))
        with (
            image(client, [copy(archive), run("chmod 600 file; echo two > second")]) as below,
            image(client, [run("rm second; echo three > third")], from_image=below) as above,
        ):
            for wanted, made in (("file folder second", below), ("file folder third", above)):
                for _ in range(2):
                    box = client.create(template_id=made, template_name=None)
                    assert box.shell("echo *; cat file; rm -r *") == f"{wanted}\nhere"
                    assert box.shell("stat -c %U .") == "sandbox"
                    box.kill()
        big = build(client, [run("head -c 400M /dev/zero > big")])
        assert big["status"] == "active", big["log"]

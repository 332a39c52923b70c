"""Hostile code that looks for a way out, or for what the host would rather keep to itself."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, ERRNO_OF, Box

_CONNECT = """
import socket
try:
    socket.create_connection({address!r}, timeout=3)
except OSError as error:
    print(type(error).__name__, error.errno)
else:
    print("CONNECTED")
"""


def test_a_service_on_the_hosts_loopback_is_out_of_reach(shared: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = ("127.0.0.1", listening.getsockname()[1])
        assert shared.python(_CONNECT.format(address=address)) == "ConnectionRefusedError 111"


@pytest.mark.parametrize("address", [("169.254.169.254", 80), ("8.8.8.8", 53), ("10.0.0.1", 443)])
def test_no_network_is_reachable(shared: Box, address: tuple[str, int]) -> None:
    assert shared.python(_CONNECT.format(address=address)) == "OSError 101"


def test_names_do_not_resolve_but_the_sandboxs_own(shared: Box) -> None:
    code = """
        import socket
        print(socket.gethostbyname("localhost"))
        try:
            print(socket.gethostbyname("example.com"))
        except OSError as error:
            print(type(error).__name__)
    """
    assert shared.python(code) == "127.0.0.1\ngaierror"


def test_the_hosts_abstract_sockets_are_out_of_reach(shared: Box) -> None:
    name = f"\0glovebox-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen()
        code = f"""
            import socket
            try:
                socket.socket(socket.AF_UNIX).connect({name!r})
            except OSError as error:
                print(type(error).__name__)
        """
        assert shared.python(code) == "ConnectionRefusedError"


@pytest.mark.parametrize("family", ["AF_VSOCK", "AF_PACKET", "AF_NETLINK", "AF_ALG"])
def test_only_common_socket_families_exist(shared: Box, family: str) -> None:
    code = f"""
        import socket
        try:
            socket.socket(socket.{family}, socket.SOCK_RAW, 0)
        except OSError as error:
            print(error.errno)
    """
    assert shared.python(code) == "97"


def test_the_hosts_runtime_sockets_are_absent(shared: Box) -> None:
    assert shared.shell("ls /run /var /home /sys /boot /srv /mnt 2>/dev/null") == ""


def test_a_process_of_the_host_can_be_neither_seen_nor_killed(shared: Box) -> None:
    host = subprocess.Popen(["sleep", "60"])
    try:
        code = f"""
            import os
            print(os.path.exists("/proc/{host.pid}"), max(map(int, filter(str.isdigit,
                  os.listdir("/proc")))) < {host.pid})
            try:
                os.kill({host.pid}, 9)
            except ProcessLookupError:
                print("nobody there")
        """
        assert shared.python(code) == "False True\nnobody there"
        assert host.poll() is None
    finally:
        host.kill()
        host.wait()


def test_files_of_the_host_are_absent(shared: Box, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("bait")
    paths = f"{secret} /etc/shadow /root/.bashrc {Path(__file__)}"
    assert "bait" not in shared.shell(f"cat {paths}; ls -d {paths}")
    assert shared.shell(f"ls -d {paths} 2>/dev/null") == ""


def test_the_services_environment_is_in_no_process(shared: Box) -> None:
    assert shared.shell("tr '\\0' ' ' < /proc/1/environ") == "PWD=/workspace"
    # Split and kept first, lest the search find its own command line.
    pattern = f"'{API_KEY[:9]}''{API_KEY[9:]}'"
    search = f"cat /proc/*/environ /proc/*/cmdline > /tmp/all; grep -ac {pattern} /tmp/all"
    assert shared.shell(search) == "0"


def test_no_command_line_tells_of_the_host(shared: Box) -> None:
    assert shared.shell("tr '\\0' ' ' < /proc/1/cmdline") == "/usr/bin/cat"


def test_no_descriptor_is_inherited(shared: Box) -> None:
    code = """
        import os
        own = [(fd, os.readlink(f"/proc/self/fd/{fd}")) for fd in os.listdir("/proc/self/fd")
               if os.path.exists(f"/proc/self/fd/{fd}")]
        print(sorted(fd for fd, target in own if not target.startswith("/proc/")))
        first = [os.readlink(f"/proc/1/fd/{fd}").split(":")[0] for fd in os.listdir("/proc/1/fd")]
        print(first)
    """
    assert shared.python(code) == "['0', '1', '2']\n['pipe', 'pipe', 'pipe']"


@pytest.mark.parametrize(
    "name",
    [
        "kernel/core_pattern",
        "kernel/modprobe",
        "vm/overcommit_memory",
        "fs/suid_dumpable",
        "kernel/hostname",
        "net/ipv4/ip_forward",
    ],
)
def test_kernel_settings_cannot_be_written(shared: Box, name: str) -> None:
    code = f"""
        import os
        try:
            os.open("/proc/sys/{name}", os.O_WRONLY)
        except OSError as error:
            print(error.errno in (1, 2, 13, 30))
    """
    assert shared.python(code) == "True"


@pytest.mark.parametrize(
    "path",
    [
        *("/proc/sysrq-trigger", "/proc/kcore", "/proc/kmsg", "/proc/kallsyms", "/proc/keys"),
        *("/proc/timer_list", "/proc/cmdline", "/sys/fs/cgroup", "/dev/mem", "/dev/kmsg"),
    ],
)
def test_windows_into_the_kernel_are_shut(shared: Box, path: str) -> None:
    code = f"""
        try:
            print(len(open("{path}", "rb").read(100)))
        except OSError:
            print(0)
    """
    assert shared.python(code) == "0"


@pytest.mark.parametrize("folder", ["/usr", "/etc", "/", "/dev", "/opt/python", "/bin"])
def test_the_system_cannot_be_written(shared: Box, folder: str) -> None:
    assert "Read-only file system" in shared.shell(f"touch {folder}/planted")


def test_nothing_can_be_mounted_or_unmounted(shared: Box) -> None:
    code = f"""{ERRNO_OF}
buffer = ctypes.create_string_buffer(b"/tmp")
where = ctypes.addressof(buffer)
tmpfs = ctypes.addressof(ctypes.create_string_buffer(b"tmpfs"))
print(errno_of(165, tmpfs, where, tmpfs, 0, 0), errno_of(165, 0, where, 0, 0x20, 0),
      errno_of(166, where, 2), errno_of(161, where), errno_of(430, tmpfs, 0),
      errno_of(155, where, where), errno_of(428, -100, where, 1))
"""
    assert set(shared.python(code).split()) == {"EPERM"}


@pytest.mark.parametrize("flag", [0x10000000, 0x00020000, 0x40000000, 0x20000000, 0x02000000])
def test_no_namespace_can_be_made(shared: Box, flag: int) -> None:
    code = f"{ERRNO_OF}\nprint(errno_of(272, {flag}), errno_of(56, {flag} | 17, 0, 0, 0, 0))\n"
    assert shared.python(code) == "EPERM EPERM"


def test_a_command_has_no_capability_and_can_gain_none(shared: Box) -> None:
    status = shared.shell("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status")
    values = {line.split(":")[0]: line.split()[1] for line in status.splitlines()}
    assert values.pop("NoNewPrivs") == "1"
    assert values.pop("Seccomp") == "2"
    assert {int(value, 16) for value in values.values()} == {0}
    # Nobody is root here: the id does not even exist.
    assert "Invalid argument" in shared.python("import os; os.setuid(0)")
    assert shared.shell("su -c id 2>&1 </dev/null; id -u").endswith("1000")


def test_the_first_process_cannot_be_traced_or_read(shared: Box) -> None:
    code = f"""{ERRNO_OF}
import os
print(errno_of(101, 16, 1, 0, 0))
print(errno_of(310, 1, 0, 0, 0, 0, 0))
print(errno_of(438, os.pidfd_open(1), 0, 0))
"""
    assert shared.python(code).split() == ["EPERM"] * 3


@pytest.mark.parametrize("flags", ["os.O_RDONLY", "os.O_RDWR"])
def test_the_first_processs_memory_is_shut(shared: Box, flags: str) -> None:
    code = f"""
        import os
        try:
            memory = os.open("/proc/1/mem", {flags})
            print(len(os.pread(memory, 1, 0x400000)))
        except OSError as error:
            print(error.errno in (1, 5, 13))
    """
    assert shared.python(code) == "True"


def test_other_processes_of_the_sandbox_cannot_be_taken_over(shared: Box) -> None:
    code = f"""{ERRNO_OF}
import os, subprocess
child = subprocess.Popen(["sleep", "30"])
print(errno_of(101, 16, child.pid, 0, 0), errno_of(438, os.pidfd_open(child.pid), 0, 0))
child.kill()
"""
    assert shared.python(code) == "EPERM EPERM"


def test_the_hosts_keyring_is_out_of_reach(shared: Box) -> None:
    code = f"""{ERRNO_OF}
print(errno_of(250, 0, -3, 1))
print(errno_of(248, 0, 0, 0, 0, -3))
print(errno_of(249, 0, 0, 0, 0))
"""
    assert shared.python(code).split() == ["EPERM"] * 3


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("bpf", 321),
        ("perf_event_open", 298),
        ("userfaultfd", 323),
        ("io_uring_setup", 425),
        ("syslog", 103),
        ("open_by_handle_at", 304),
        ("kexec_load", 246),
        ("init_module", 175),
        ("clock_settime", 227),
        ("sethostname", 170),
        ("reboot", 169),
    ],
)
def test_dangerous_system_calls_are_refused(shared: Box, name: str, number: int) -> None:
    assert shared.python(f"{ERRNO_OF}\nprint(errno_of({number}, 0, 0, 0, 0, 0))\n") == "EPERM", name


def test_other_system_call_tables_are_refused(shared: Box) -> None:
    assert shared.python(f"{ERRNO_OF}\nprint(errno_of(0x40000000 + 39))\n") == "ENOSYS"


def test_threads_and_child_processes_work_without_clone3(shared: Box) -> None:
    code = f"""{ERRNO_OF}
import subprocess, threading
threads = [threading.Thread(target=int) for _ in range(8)]
[t.start() for t in threads]
print(errno_of(435, 0, 0), subprocess.check_output(["echo", "hi"]))
"""
    assert shared.python(code) == "ENOSYS b'hi\\n'"


def test_a_process_cannot_rise_above_others(shared: Box) -> None:
    code = """
        import os
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        for act in (lambda: os.nice(-5), lambda: os.write(score, b"-900")):
            try:
                act()
            except PermissionError:
                print("refused")
    """
    assert shared.python(code) == "refused\nrefused"


def test_no_device_can_be_made(shared: Box) -> None:
    assert "Operation not permitted" in shared.shell("mknod /tmp/disk b 254 0")


def test_nothing_can_be_typed_into_a_terminal(shared: Box) -> None:
    code = """
        import fcntl, os, pty
        master, slave = pty.openpty()
        for request in (0x5412, 0x541C, 0x100005412):
            try:
                print(fcntl.ioctl(slave, request, b"x"))
            except OSError as error:
                print(error.errno)
            except OverflowError:
                print(1)
    """
    assert shared.python(code) == "1\n1\n1"


def test_no_group_folder_and_no_host_name_is_visible(shared: Box) -> None:
    assert shared.shell("hostname; cat /proc/self/cgroup | cut -d: -f3 | sort -u") == "sandbox\n/"
    assert "glovebox" not in shared.shell("cat /proc/self/mountinfo")


@pytest.mark.needs_root
def test_the_level_is_full(server: SandboxServerProcess) -> None:
    assert (server.isolation, server.not_enforced) == ("full", ())

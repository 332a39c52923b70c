"""A request has so many seconds and so many bytes in all, however they are spread."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from glovebox.adapters.hopx_wire import Wire, within

Answering = Callable[[socket.socket], None]
OVER = threading.Event()  # never set: a wait that only its time ends


@contextmanager
def server(answer: Answering, context: ssl.SSLContext | None = None) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with suppress(OSError):
                if context is not None:
                    client = context.wrap_socket(client, server_side=True)
                with client:
                    client.recv(65536)
                    answer(client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)


def trickle(client: socket.socket) -> None:
    """Every byte comes well within the timeout of a read; the last one after a second."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Slow: yes\r\n\r\n":
        client.sendall(bytes([byte]))
        OVER.wait(0.02)


def flood(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(params=["http", "https"])
def serving(
    request: pytest.FixtureRequest, certificate: Path
) -> Iterator[Callable[[Answering], tuple[httpx.Client, Wire, str]]]:
    """Starts a server and makes a client with a wire under it, plain and over TLS."""
    from contextlib import ExitStack

    context = None
    verify = ssl.create_default_context(cafile=str(certificate))
    if request.param == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with ExitStack() as stack:

        def serve(answer: Answering) -> tuple[httpx.Client, Wire, str]:
            port = stack.enter_context(server(answer, context))
            transport = httpx.HTTPTransport(verify=verify, local_address="0.0.0.0")
            client = httpx.Client(transport=transport, timeout=600)
            stack.callback(client.close)
            return client, Wire.under(client), f"{request.param}://localhost:{port}/"

        yield serve


Serving = Callable[[Answering], tuple[httpx.Client, Wire, str]]


def test_an_answer_that_trickles_is_given_up(serving: Serving) -> None:
    client, _, url = serving(trickle)
    with within(0.4, 1000), pytest.raises(httpx.ReadTimeout):
        client.get(url)


def test_an_answer_that_never_comes_is_given_up(serving: Serving) -> None:
    over = threading.Event()

    def hold(_: socket.socket) -> None:
        over.wait(600)

    client, _, url = serving(hold)
    with within(0.3, 1000), pytest.raises(httpx.ReadTimeout):
        client.get(url)
    over.set()


def test_an_answer_that_is_too_long_is_given_up(serving: Serving) -> None:
    client, _, url = serving(flood)
    with within(20, 1_100_000):
        assert len(client.get(url).content) == 1_000_000
    with within(20, 100_000), pytest.raises(httpx.ReadError):
        client.get(url)


def test_who_waits_is_told_when_the_wire_is_cut(serving: Serving) -> None:
    asked = threading.Event()
    cut = threading.Event()

    def hold(_: socket.socket) -> None:
        asked.set()
        cut.wait(60)

    client, wire, url = serving(hold)

    def cut_once_asked() -> None:
        asked.wait(60)
        wire.cut()

    cutter = threading.Thread(target=cut_once_asked)
    cutter.start()
    with pytest.raises(httpx.TransportError):
        client.get(url)
    cut.set()
    cutter.join()


def test_a_block_within_a_block_has_no_more_time() -> None:
    with server(trickle) as port, httpx.Client(timeout=30) as client:
        Wire.under(client)
        with within(0.4, 1000):
            with within(60, 1000), pytest.raises(httpx.TimeoutException):
                client.get(f"http://127.0.0.1:{port}/")
            with pytest.raises(httpx.TimeoutException):
                client.get(f"http://127.0.0.1:{port}/")


def test_without_a_block_the_clients_own_timeout_holds() -> None:
    with server(trickle) as port, httpx.Client(timeout=30) as client:
        Wire.under(client)
        assert client.get(f"http://127.0.0.1:{port}/").headers["X-Slow"] == "yes"

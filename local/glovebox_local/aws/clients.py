"""boto3-style clients for the emulated AWS that never leave this process and never read the host.

Used by the deployer and, through a patch, by the state machines' own calls. A profile, a proxy or
an endpoint that the user's environment sets for the real AWS must not reach into the stack.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

from glovebox_local.aws import service_models
from glovebox_local.http_server import HttpRequest, HttpResponse
from glovebox_local.settings import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY

# An empty profile of our own keeps botocore from looking for the user's.
EMPTY_PROFILE = "[default]\n"


class _Body(io.BytesIO):
    """The raw body that botocore expects of its HTTP library."""

    def stream(self, amount: int = 65536, **_: object) -> Iterator[bytes]:
        while chunk := self.read(amount):
            yield chunk


class AwsClients:
    """Makes one client per service and hands out the same one ever after (clients are
    thread-safe; making one costs tens of milliseconds)."""

    def __init__(
        self, handle: Callable[[HttpRequest], HttpResponse], url: str, profile: Path
    ) -> None:
        self._handle = handle
        self._url = url
        self._session = botocore.session.Session()
        self._session.register_component("data_loader", service_models.loader())
        self._session.set_config_variable("config_file", str(profile))
        self._session.set_config_variable("credentials_file", str(profile))
        self._session.set_config_variable("profile", "default")
        self._clients: dict[tuple[str, bool], Any] = {}
        self._lock = threading.RLock()

    def get(self, service: str, *, validate: bool = True) -> Any:
        """The client of a service; ``validate`` is botocore's own check of the parameters."""
        key = (service, validate)
        client = self._clients.get(key)
        if client is None:
            with self._lock:
                client = self._clients.get(key)
                if client is None:
                    client = self._clients[key] = self._make(service, validate)
        return client

    def _make(self, service: str, validate: bool) -> Any:
        client = self._session.create_client(
            service,
            region_name=REGION,
            endpoint_url=self._url,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(
                parameter_validation=validate,
                proxies={},
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                inject_host_prefix=False,
            ),
        )
        events: Any = client.meta.events  # its types do not know that a handler may answer
        events.register_first("before-send", self._send)
        return client

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        parts = urlsplit(request.url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        headers = [(name.lower(), _text(value)) for name, value in request.headers.items()]
        headers.append(("host", parts.netloc))
        method = str(request.method)
        response = self._handle(HttpRequest(method, target, headers, _read(request.body)))
        answered = HTTPHeaders()
        for name, value in response.headers:
            answered[name] = value
        return AWSResponse(request.url, response.status, answered, _Body(response.body))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _read(body: Any) -> bytes:
    if body is None:
        return b""
    if hasattr(body, "read"):
        body = body.read()
    return body.encode() if isinstance(body, str) else bytes(body)

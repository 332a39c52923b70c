"""The HTTP front of the emulated AWS: hands requests from our server to moto's service apps.

moto's own front (werkzeug's development server) opens a connection per request and searches two
hundred patterns, twice stat'ing every service's folder, to find out which service is meant. This
one keeps connections alive and remembers which service a signature's scope names.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from glovebox_local.http_server import HttpRequest, HttpResponse, LoopbackServer

# moto keeps underscores in the names of user metadata only (its MotoRequestHandler).
_METADATA_PREFIX = "x-amz-meta-"
_PRESERVED_NAMES = "moto.preserved_header_names"
_log = logging.getLogger(__name__)


class _Dispatcher(DomainDispatcherApplication):
    """moto's dispatcher with a memory for the service that a signed request names."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._by_scope: dict[tuple[str, str], Any] = {}

    def get_application(self, environ: dict[str, Any]) -> Any:
        scope = _signing_scope(environ)
        if scope is None:
            return super().get_application(environ)
        app = self._by_scope.get(scope)
        if app is None:
            app = self._by_scope[scope] = super().get_application(environ)
        return app


def _signing_scope(environ: dict[str, Any]) -> tuple[str, str] | None:
    """(region/service, API version) of a signed request that moto routes by these two alone."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    parts = authorization.partition("Credential=")[2].partition(",")[0].split("/")
    path = environ["PATH_INFO"]
    if len(parts) != 5 or path.startswith(("/moto-api", "/latest/", "/v2018", "/@", "/v2/")):
        return None
    return f"{parts[2]}/{parts[3]}", environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[0]


class AwsFront:
    """Serves every emulated AWS service on one loopback port."""

    def __init__(self) -> None:
        self._dispatch = _Dispatcher()
        self._server = LoopbackServer(self.handle, name="glovebox-aws")
        self.port = self._server.port
        self.url = self._server.url

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.stop()

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request of any service; what moto cannot do is an InternalFailure."""
        try:
            return self._call(request)
        except Exception as error:
            _log.exception("%s %s", request.method, request.target)
            text = f"{type(error).__name__}: {error}"
            body = json.dumps({"__type": "InternalFailure", "message": text}).encode()
            return HttpResponse(500, body, [("content-type", "application/x-amz-json-1.0")])

    def _call(self, request: HttpRequest) -> HttpResponse:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc: Any = None) -> None:
            if exc:  # Flask runs in debug mode here: an unhandled error comes as it was raised
                raise exc[1].with_traceback(exc[2])
            started.append((status, headers))

        chunks: Iterable[bytes] = self._dispatch(self._environ(request), start_response)
        body = b"".join(chunks)
        status, headers = started[-1]
        return HttpResponse(int(status.partition(" ")[0]), body, headers)

    def _environ(self, request: HttpRequest) -> dict[str, Any]:
        path, _, query = request.target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            # WSGI wants the decoded bytes dressed as latin-1 (PEP 3333).
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "RAW_URI": request.target,
            "REQUEST_URI": request.target,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(request.body)),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        _add_headers(environ, request.headers)
        return environ


def _add_headers(environ: dict[str, Any], headers: list[tuple[str, str]]) -> None:
    preserved: dict[str, str] = {}
    for name, value in headers:
        key = "HTTP_" + name.upper().replace("-", "_")
        if "_" in name:
            if not name.startswith(_METADATA_PREFIX):
                continue  # X_Foo must not pass for X-Foo
            preserved[key] = name
        if name == "content-type":
            environ["CONTENT_TYPE"] = value
        elif name not in ("content-length", "transfer-encoding"):
            # transfer-encoding: the server has undone it already.
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ[_PRESERVED_NAMES] = preserved

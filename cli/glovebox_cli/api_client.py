"""The HTTP API, as the command line speaks to it: patient with networks, strict with answers."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx

from glovebox_cli.views import AttemptView, BadAnswer, RunView, attempt_view, run_view

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0  # an API Gateway gives up at 30 s too
MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_DOWNLOAD_BYTES = 512 * 1024 * 1024
MAX_PAGES = 50
"""Of a list, each of up to 500 rows looked at."""
_CHUNK_BYTES = 256 * 1024
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_NOT_TAKEN = frozenset({429, 503})
"""Answers by which a request was turned away before anything came of it."""


_View = TypeVar("_View")


class ApiUnreachable(Exception):
    """No usable answer, in spite of retries: the network, the API or its contract is broken."""


class ApiRefused(Exception):
    """The API understood, and says no."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        self.status = status
        self.code = code
        self.details = details
        super().__init__(message)


class ApiClient:
    """One API."""

    def __init__(
        self,
        url: str,
        *,
        auth: httpx.Auth | None = None,
        patience_seconds: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self.patience_seconds = patience_seconds
        """How long a failing request is repeated."""
        self.give_up: Callable[[], bool] = lambda: False
        """Asked between repeats: whether nobody wants to wait any more."""
        self._sleep = sleep
        self._auth = auth
        # A proxy for the outside world does not know this machine's own ports.
        local = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(timeout=timeout, mounts=local)

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def create_source(self, sha256: str, size: int) -> tuple[str, dict[str, Any]]:
        """Where the source will lie, and the request that uploads it."""
        answer = self._call("POST", "/sources", body={"sha256": sha256, "size": size})
        source, upload = answer.get("source"), answer.get("upload")
        if not isinstance(source, str) or not isinstance(upload, dict) or "url" not in upload:
            raise ApiUnreachable(self._broken("no upload in the answer to POST /sources"))
        return source, upload

    def upload(self, upload: Mapping[str, Any], file: IO[bytes], size: int) -> None:
        """Send an archive to where `create_source` said."""
        headers = {str(k): str(v) for k, v in dict(upload.get("headers") or {}).items()}
        headers["Content-Length"] = str(size)
        method, url = str(upload.get("method", "PUT")), _web_address(upload["url"])

        def send() -> httpx.Response:
            file.seek(0)
            return self._http.request(method, url, headers=headers, content=_chunks(file))

        response = self._persist("upload of the source", send)
        if not response.is_success:
            reason = f"the upload of the source was refused: HTTP {response.status_code}"
            raise ApiUnreachable(reason)

    def create_run(self, manifest: Mapping[str, Any], idempotency_key: str) -> str:
        """Start a run and return its id.

        The key makes a repeated request the same run where the API heeds it. Not every API
        does, so this is repeated only where the first request cannot have been taken.
        """
        headers = {"Idempotency-Key": idempotency_key}
        return self._started("POST /runs", "/runs", {"manifest": manifest}, headers)

    def rerun(self, run_id: str, select: str, idempotency_key: str) -> str:
        """Start a run of a run's tests again (`all`, `failed` or `missing`); returns its id."""
        path = f"/runs/{_part(run_id)}/rerun"
        headers = {"Idempotency-Key": idempotency_key}
        return self._started("POST " + path, path, {"select": select}, headers)

    def _started(
        self, what: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> str:
        answer = self._call("POST", path, body=body, headers=headers, once=True)
        run_id = answer.get("run_id")
        if not isinstance(run_id, str) or not run_id:
            raise ApiUnreachable(self._broken(f"no run_id in the answer to {what}"))
        return run_id

    def run_document(self, run_id: str) -> dict[str, Any]:
        """A run as it is now, in the API's own words."""
        return self._call("GET", f"/runs/{_part(run_id)}")

    def run(self, run_id: str) -> RunView:
        """A run as it is now."""
        return self.view(self.run_document(run_id))

    def view(self, document: object) -> RunView:
        """Read a run's document."""
        return self._viewed(run_view, document)

    def run_documents(self, filters: Mapping[str, str], limit: int) -> list[Any]:
        """The newest runs that the filters take, in the API's own words. A page of the API may be
        short, or empty, while there is more; after `MAX_PAGES` of them it is given up."""
        documents: list[Any] = []
        query = dict(filters)
        for _ in range(MAX_PAGES):
            missing = limit - len(documents)
            answer = self._call("GET", "/runs", query={**query, "limit": str(min(100, missing))})
            documents += _list(answer, "runs")
            following = answer.get("next")
            if len(documents) >= limit or not isinstance(following, str):
                break
            query["cursor"] = following
        return documents[:limit]

    def changes(
        self, run_id: str, since: str | None
    ) -> tuple[RunView, list[AttemptView], str | None]:
        """The run, the attempts that changed since a cursor, oldest first, and the next cursor."""
        query = {} if since is None else {"since": since}
        answer = self._call("GET", f"/runs/{_part(run_id)}/tests", query=query)
        cursor = answer.get("cursor")
        views = [self._viewed(attempt_view, document) for document in _list(answer, "attempts")]
        run = self.view(answer.get("run"))
        return run, views, cursor if isinstance(cursor, str) else since

    def test(self, run_id: str, key: str) -> dict[str, Any]:
        """One test with all its attempts and their logs."""
        return self._call("GET", f"/runs/{_part(run_id)}/tests/{_part(key)}")

    def report(self, run_id: str, format_name: str) -> bytes:
        """A report document, as it is stored. Raises ApiRefused with `report_not_ready`."""
        path = f"/runs/{_part(run_id)}/report"
        answer = self._call("GET", path, query={"format": format_name})
        url = answer.get("url")
        if not isinstance(url, str):
            raise ApiUnreachable(self._broken("no url in the answer to GET …/report"))
        return self.download(url)

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop."""
        self._call("POST", f"/runs/{_part(run_id)}/cancel", body={})

    def download(self, url: str, limit: int = MAX_DOWNLOAD_BYTES) -> bytes:
        """A document behind a presigned URL."""
        address = _web_address(url)
        response = self._persist("download", lambda: self._get_bounded(address, limit))
        if not response.is_success:
            reason = f"a download was refused: HTTP {response.status_code}"
            raise ApiUnreachable(reason)
        return response.content

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> dict[str, Any]:
        def send() -> httpx.Response:
            request = self._http.build_request(
                method, self.url + path, json=body, params=query or None, headers=headers
            )
            return self._bounded(request, MAX_ANSWER_BYTES, self._auth)

        response = self._persist(f"{method} {path}", send, once=once)
        try:
            answer = json.loads(response.content)
        except (ValueError, RecursionError) as error:
            reason = f"HTTP {response.status_code} without JSON"
            raise ApiUnreachable(self._broken(reason)) from error
        if not isinstance(answer, dict):
            raise ApiUnreachable(self._broken("an answer that is no object"))
        if not response.is_success:
            raise _refusal(response.status_code, answer)
        return answer

    def _persist(
        self, what: str, send: Callable[[], httpx.Response], *, once: bool = False
    ) -> httpx.Response:
        """Send until there is an answer worth reading, or patience ends."""
        end = time.monotonic() + self.patience_seconds
        pause = 0.1
        retried = _NOT_TAKEN if once else _RETRIED
        while True:
            try:
                response = send()
            except httpx.HTTPError as error:
                trouble = f"{type(error).__name__}: {error}"
                if once and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    trouble += "; it may have been taken all the same: see `glovebox list`"
                    message = f"{what} at {self.url}: {trouble}"
                    raise ApiUnreachable(message) from error
            except httpx.InvalidURL as error:
                reason = f"{self.url} is no address of an API: {error}"
                raise ApiUnreachable(reason) from error
            else:
                over = time.monotonic() + pause >= end
                if response.status_code not in retried or over or self.give_up():
                    return response
                trouble = f"HTTP {response.status_code}"
            if time.monotonic() + pause >= end or self.give_up():
                reason = f"{what} at {self.url}: {trouble}"
                raise ApiUnreachable(reason)
            # Jitter, so that many clients of one recovering API do not come in step.
            self._sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - no secret hangs on it
            pause = min(pause * 2, 1.0)

    def _get_bounded(self, url: str, limit: int) -> httpx.Response:
        return self._bounded(self._http.build_request("GET", url), limit)

    def _bounded(
        self, request: httpx.Request, limit: int, auth: httpx.Auth | None = None
    ) -> httpx.Response:
        # Only the API's own requests are signed: a presigned URL brings its signature along.
        response = self._http.send(request, stream=True, auth=auth)
        try:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > limit:
                    reason = f"an answer of more than {limit} bytes"
                    raise ApiUnreachable(self._broken(reason))
        finally:
            response.close()
        return httpx.Response(response.status_code, content=bytes(content))

    def _viewed(self, view: Callable[[Any], _View], document: object) -> _View:
        try:
            if not isinstance(document, dict):
                reason = "something that is no object stands where one should"
                raise BadAnswer(reason)
            return view(document)
        except BadAnswer as error:
            raise ApiUnreachable(self._broken(str(error))) from error

    def _broken(self, reason: str) -> str:
        return f"{self.url} does not answer as a Glovebox API: {reason}"


def _refusal(status: int, answer: Mapping[str, Any]) -> ApiRefused:
    error = answer.get("error")
    error = error if isinstance(error, dict) else {}
    details = error.get("details")
    return ApiRefused(
        status,
        str(error.get("code", "")),
        str(error.get("message") or answer.get("message") or f"HTTP {status}"),
        details if isinstance(details, dict) else {},
    )


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    value = answer.get(name)
    if not isinstance(value, list):
        reason = f"the API's answer holds no list {name!r}"
        raise ApiUnreachable(reason)
    return value


def _part(text: str) -> str:
    """One segment of a path; `..` and `/` in an id must not change the path."""
    return quote(text, safe="").replace(".", "%2E") if text.strip(".") == "" else quote(text, "")


def _web_address(url: object) -> str:
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        reason = "the API names an address that is neither http nor https"
        raise ApiUnreachable(reason)
    return url


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk

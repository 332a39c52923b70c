"""The API's own handler in this process, over fakes, as any caller."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from glovebox.ports import Runs

from tests.faults.handlers import context, event, load_function
from tests.unit.usecases.driver import Spine

ACCOUNT = "arn:aws:iam::123456789012"
ANN, BOB = f"{ACCOUNT}:user/ann", f"{ACCOUNT}:user/bob"
FILES = {"test_a.py": "def test_x(): pass\n\ndef test_y(): assert 0\n"}


def a_manifest(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "n",
        "source": {"inline": {"files": FILES}},
        "suites": [{"name": "unit", "framework": "pytest"}],
        **changes,
    }


@dataclass(frozen=True)
class Answer:
    """What the handler answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """Of an error, which has one shape."""
        assert set(self.body) == {"error"}, self.text
        assert set(self.body["error"]) == {"code", "message", "details"}, self.text
        return str(self.body["error"]["code"])


class ApiDoor:
    """The handler, wired to fakes."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, runs: Runs | None = None
    ) -> None:
        self.spine = Spine(folder, runs=runs)
        self.app = load_function("api")
        spine = self.spine
        parts = (spine.runs, spine.artifacts, spine.workflow, spine.clock)
        use_cases = self.app.wire(*parts)
        monkeypatch.setattr(self.app, "wired", lambda: use_cases)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        caller: str | None = ANN,
        text: str | None = None,
        is_base64: bool = False,
    ) -> Answer:
        """Ask as `caller`; a body is sent as JSON, `text` as it is."""
        told = copy.deepcopy(event("api"))
        told.update(
            {"rawPath": path, "rawQueryString": urlencode(query or {}, errors="surrogatepass")}
        )
        told.update({"queryStringParameters": dict(query or {}), "body": text})
        told["isBase64Encoded"] = is_base64
        told["requestContext"]["http"].update({"method": method, "path": path})
        told["headers"].pop("idempotency-key")
        told["headers"].update(headers or {})
        if body is not None:
            told["body"] = json.dumps(body)
        authorizer = told["requestContext"]["authorizer"]
        authorizer["iam"]["userArn"] = caller
        if caller is None:
            del told["requestContext"]["authorizer"]
        answer = self.app.lambda_handler(told, context())
        found = {**answer.get("headers", {}), **answer.get("multiValueHeaders", {})}
        headers = {k.lower(): v if isinstance(v, str) else v[0] for k, v in found.items()}
        return Answer(answer["statusCode"], headers, answer.get("body") or "")

    def start(self, caller: str = ANN, **changes: Any) -> str:
        """Start a run; answers its id."""
        answer = self.call("POST", "/runs", {"manifest": a_manifest(**changes)}, caller=caller)
        assert answer.status == 202, answer.text
        return str(answer.body["run_id"])

"""AWS's SAM translator, in a process of its own.

It takes half a second to import and 60 MB that the stack would carry to its end. Started early, it
imports on another processor while the stack does other things, and is gone when it has answered.

Run as a module, it reads one JSON document (template and parameters) and writes one.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from glovebox_local.errors import TemplateError
from glovebox_local.settings import REGION

_SECONDS = 60.0


class TranslatorProcess:
    """Translates one template. Ends with its answer, or with whoever holds its standard input."""

    def __init__(self) -> None:
        """Start it; it begins to import at once."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def translate(
        self, document: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The plain CloudFormation template. Raises TemplateError where it is refused."""
        question = json.dumps({"document": document, "parameters": parameters})
        try:
            text, _ = self._process.communicate(question, timeout=_SECONDS)
            answer = json.loads(text)
        except (ValueError, OSError, subprocess.TimeoutExpired) as error:
            self.close()
            msg = f"the SAM translator gave no answer: {error}"
            raise TemplateError(msg) from error
        if "refused" in answer:
            msg = f"the SAM translator refused the template: {answer['refused']}"
            raise TemplateError(msg)
        template: dict[str, Any] = answer["template"]
        return template

    def close(self) -> None:
        """End it, if it was never asked."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _answer(document: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    import boto3
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    # No managed policies by name: the translator would ask IAM for them.
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    flat = {k: ",".join(v) if isinstance(v, list) else v for k, v in parameters.items()}
    try:
        return {"template": translator.translate(document, parameter_values=flat)}
    except InvalidDocumentException as error:
        return {"refused": "; ".join(cause.message for cause in error.causes) or str(error)}


def main() -> None:
    """Import first, then wait for the question."""
    import samtranslator.translator.translator  # noqa: F401

    text = sys.stdin.read()
    if text:
        question = json.loads(text)
        sys.stdout.write(json.dumps(_answer(question["document"], question["parameters"])))


if __name__ == "__main__":
    main()

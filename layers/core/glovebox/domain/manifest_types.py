"""The kinds of text that a manifest holds, each checked in plain words.

Ids travel on as data, never through a shell; these checks are the first of several fences.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field, Strict

from glovebox.domain.keys import MAX_S3_KEY_BYTES
from glovebox.domain.problem import Refusal, quoted

NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
ENV_NAME_PATTERN = "^[A-Za-z_][A-Za-z0-9_]*$"
IMAGE_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$"
S3_PATTERN = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00-\x1f\x7f]+$"
GIT_URL_PATTERN = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9._~/%+-]+$"
GIT_REF_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._/+@-]{0,254}$"

MAX_TEXT_BYTES = 10_000  # one test id, argument, setup line or path
MAX_ENV_VALUE_BYTES = 32_768  # Linux allows 128 KiB for one; all of them share the argv space

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _pattern(pattern: str, words: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            message = f"{quoted(value)} {words}"
            raise Refusal(message)
        return value

    return check


def _at_most(limit: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        size = len(value.encode())
        if size > limit:
            words = f"is {size} bytes long; the limit is {limit}"
            raise Refusal(words)
        return value

    return check


def _no_nul(value: str) -> str:
    if "\x00" in value:
        words = "contains a NUL character, which no command line and no file name can hold"
        raise Refusal(words)
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        words = "must not be empty"
        raise Refusal(words)
    return value


def _not_reserved(value: str) -> str:
    if value == "GLOVEBOX" or value.startswith("GLOVEBOX_"):
        words = f"{quoted(value)} is reserved: GLOVEBOX and GLOVEBOX_… are set by Glovebox"
        raise Refusal(words)
    return value


def _relative(value: str) -> str:
    if _CONTROL.search(value):
        words = f"{quoted(value)} contains a control character"
        raise Refusal(words)
    if value.startswith("/") or re.match("[A-Za-z]:", value):
        words = f"{quoted(value)} is absolute; write a path relative to the source"
        raise Refusal(words)
    if "\\" in value:
        words = f"{quoted(value)} contains a backslash; separate folders with /"
        raise Refusal(words, value.replace("\\", "/"))
    if ".." in value.split("/"):
        words = f"{quoted(value)} leaves the source with '..'"
        raise Refusal(words)
    if value.startswith("-"):
        words = f"{quoted(value)} begins with '-' and would read as an option"
        raise Refusal(words, f"./{value}")
    return value


def _exact_file(value: str) -> str:
    if any(part in ("", ".") for part in value.split("/")):
        words = f"{quoted(value)} is not the plain path of a file: no empty part, no '.'"
        raise Refusal(words)
    return value


def _git_ref(value: str) -> str:
    if ".." in value or "//" in value or value.endswith(("/", ".lock", ".")):
        words = f"{quoted(value)} is not a name that git accepts for a branch, tag or commit"
        raise Refusal(words)
    return value


def _git_url(value: str) -> str:
    if "@" in value.partition("//")[2].partition("/")[0]:
        words = "must not hold a user name, password or token; name those under secrets"
        raise Refusal(words)
    return value


def _s3_key(value: str) -> str:
    key = value.removeprefix("s3://").partition("/")[2]
    _at_most(MAX_S3_KEY_BYTES)(key)
    return value


Text = Annotated[str, Strict(), AfterValidator(_no_nul)]
"""Any text without NUL."""

Line = Annotated[Text, AfterValidator(_at_most(MAX_TEXT_BYTES))]
"""Bounded text; it may be empty, as an argument may."""

FilledLine = Annotated[Line, AfterValidator(_not_blank), Field(json_schema_extra={"minLength": 1})]
"""Bounded text that says something."""

Name = Annotated[
    Text,
    AfterValidator(
        _pattern(
            NAME_PATTERN,
            "is not a name: 1 to 100 letters, digits, '.', '_' or '-', "
            "of which the first is a letter or digit",
        )
    ),
    Field(json_schema_extra={"pattern": NAME_PATTERN}),
]

EnvName = Annotated[
    Line,
    AfterValidator(
        _pattern(
            ENV_NAME_PATTERN,
            "is not the name of an environment variable: letters, digits and '_', "
            "of which the first is not a digit",
        )
    ),
    AfterValidator(_not_reserved),
    Field(json_schema_extra={"pattern": ENV_NAME_PATTERN}),
]

EnvValue = Annotated[Text, AfterValidator(_at_most(MAX_ENV_VALUE_BYTES))]

ImageName = Annotated[
    Text,
    AfterValidator(
        _pattern(IMAGE_PATTERN, "is not the name of an image: letters, digits and . _ : / -")
    ),
    Field(json_schema_extra={"pattern": IMAGE_PATTERN}),
]

RelativePath = Annotated[FilledLine, AfterValidator(_relative)]
"""Relative, POSIX, inside the source; globs are paths too."""

FilePath = Annotated[RelativePath, AfterValidator(_exact_file)]
"""The one spelling of a file's place: `a/b.py`, not `./a//b.py`."""

S3Address = Annotated[
    Text,
    AfterValidator(_pattern(S3_PATTERN, "is not an S3 address such as s3://bucket/key.tar.gz")),
    AfterValidator(_s3_key),
    Field(json_schema_extra={"pattern": S3_PATTERN}),
]

GitUrl = Annotated[
    Line,
    AfterValidator(_git_url),
    AfterValidator(_pattern(GIT_URL_PATTERN, "is not an https:// address of a repository")),
    Field(json_schema_extra={"pattern": GIT_URL_PATTERN}),
]

GitRef = Annotated[
    Text,
    AfterValidator(_pattern(GIT_REF_PATTERN, "is not a branch, tag or commit")),
    AfterValidator(_git_ref),
    Field(json_schema_extra={"pattern": GIT_REF_PATTERN}),
]

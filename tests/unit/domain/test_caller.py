"""Who owns what a request starts."""

from __future__ import annotations

from typing import Any

import pytest
from glovebox.domain.caller import STACK_OWNER, owner_of_caller

ROLE = "arn:aws:iam::123456789012:role/ci"


def iam(arn: Any) -> dict[str, Any]:
    return {"iam": {"userArn": arn, "callerId": "AROAEXAMPLE:ci"}}


@pytest.mark.parametrize("session", ["ci", "i-0a1b2c", "someone@example.com"])
def test_every_session_of_a_role_is_the_role(session: str) -> None:
    assert owner_of_caller(iam(f"arn:aws:sts::123456789012:assumed-role/ci/{session}")) == ROLE


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::123456789012:user/team/ann",
        "arn:aws:sts::123456789012:federated-user/ann",
        "arn:aws:iam::123456789012:root",
    ],
)
def test_any_other_principal_is_itself(arn: str) -> None:
    assert owner_of_caller(iam(arn)) == arn


def test_the_same_role_of_another_account_or_partition_is_another_owner() -> None:
    owners = {
        owner_of_caller(iam(f"arn:{partition}:sts::{account}:assumed-role/ci/ci"))
        for partition in ("aws", "aws-cn")
        for account in ("1" * 12, "2" * 12)
    }
    assert len(owners) == 4


def test_a_subject_is_an_owner_only_with_its_issuer() -> None:
    one, other = (
        owner_of_caller({"jwt": {"claims": {"iss": f"https://{host}", "sub": "42"}}})
        for host in ("a.example", "b.example")
    )
    assert one != other
    assert one is not None
    assert "42" in one


@pytest.mark.parametrize(
    "authorizer",
    [
        {},
        {"iam": None},
        iam(None),
        iam(""),
        iam("anonymous"),
        iam(STACK_OWNER),
        {"jwt": {}},
        {"jwt": {"claims": {"sub": "42"}}},
        {"jwt": {"claims": {"iss": "https://a.example"}}},
        {"jwt": {"claims": {"iss": "https://a.example", "sub": 42}}},
        {"lambda": {"sub": "42"}},
    ],
)
def test_without_a_proven_principal_there_is_no_owner(authorizer: dict[str, Any]) -> None:
    assert owner_of_caller(authorizer) is None

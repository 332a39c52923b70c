"""Who calls, and so whose a run is. Taken from what the gateway proved, never from the request."""

from __future__ import annotations

import re
from collections.abc import Mapping

STACK_OWNER = "stack"
"""Owner of what came through the manifest bucket: everybody who may call the API sees it."""
_SESSION = re.compile(r"arn:([\w-]+):sts::(\d{12}):assumed-role/([\w+=,.@/-]+)/[^/]+")


def owner_of_caller(authorizer: Mapping[str, object]) -> str | None:
    """The owner that the gateway's `requestContext.authorizer` stands for; None where nobody.

    With IAM it is the principal's ARN, of an assumed role the role and not its session, which
    changes with every sign-in. With JWT it is issuer and subject.
    """
    iam, jwt = authorizer.get("iam"), authorizer.get("jwt")
    if isinstance(iam, Mapping):
        return _principal(iam.get("userArn"))
    claims = jwt.get("claims") if isinstance(jwt, Mapping) else None
    if isinstance(claims, Mapping):
        issuer, subject = claims.get("iss"), claims.get("sub")
        if isinstance(issuer, str) and isinstance(subject, str) and issuer and subject:
            return f"{issuer}#{subject}"
    return None


def _principal(arn: object) -> str | None:
    if not isinstance(arn, str) or not arn.startswith("arn:"):
        return None
    if session := _SESSION.fullmatch(arn):
        partition, account, role = session.groups()
        return f"arn:{partition}:iam::{account}:role/{role}"
    return arn


def visible_owners(owner: str) -> tuple[str, str]:
    """Whose runs an owner sees: its own, and the stack's."""
    return owner, STACK_OWNER

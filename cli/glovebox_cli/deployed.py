"""A stack in AWS: its outputs, and requests signed for its API."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.safe_text import one_line

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.session import Session

API_OUTPUT = "ApiUrl"
SERVICE = "execute-api"
_API_HOST = re.compile(r"[a-z0-9-]+\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_LOG_IN = "Log in first (`aws sso login`, `aws configure`), or name a --profile."


@dataclass(frozen=True)
class Account:
    """Which credentials and region; None leaves it to the environment and AWS's own files."""

    profile: str | None = None
    region: str | None = None

    def session(self) -> Session:
        """botocore's session. Raises CommandFailure for a profile that does not exist."""
        import botocore.exceptions
        import botocore.session

        session = botocore.session.Session(profile=self.profile)
        try:
            session.get_scoped_config()
        except botocore.exceptions.ProfileNotFound as error:
            hint = "`aws configure list-profiles` names those of this machine."
            raise CommandFailure(one_line(str(error)), code=ExitCode.USAGE, hint=hint) from error
        if self.region:
            session.set_config_variable("region", self.region)
        return session


class SignedRequests(httpx.Auth):
    """Signs every request (SigV4), with credentials that renew themselves."""

    requires_request_body = True

    def __init__(self, credentials: Credentials, region: str) -> None:
        self._credentials = credentials
        self._region = region

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the signature."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        # Only what no proxy on the way changes.
        kept = {n: request.headers[n] for n in ("host", "content-type") if n in request.headers}
        signed = AWSRequest(request.method, str(request.url), headers=kept, data=request.content)
        SigV4Auth(self._credentials.get_frozen_credentials(), SERVICE, self._region).add_auth(
            signed
        )
        for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token"):
            if name in signed.headers:
                request.headers[name] = signed.headers[name]
        yield request


def stack_outputs(name: str, account: Account) -> Mapping[str, str]:
    """A stack's outputs. Raises CommandFailure with what to do."""
    import botocore.exceptions

    try:
        client: Any = account.session().create_client("cloudformation")
        [stack] = client.describe_stacks(StackName=name)["Stacks"]
    except botocore.exceptions.NoRegionError as error:
        message = "it is not said in which region the stack is"
        hint = "--region REGION, or set AWS_REGION."
        raise CommandFailure(message, code=ExitCode.USAGE, hint=hint) from error
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.TokenRetrievalError) as e:
        message = f"there are no AWS credentials: {one_line(str(e))}"
        raise CommandFailure(message, code=ExitCode.ERRORED, hint=_LOG_IN) from e
    except botocore.exceptions.ClientError as error:
        raise _refused(name, error.response.get("Error", {})) from error
    except botocore.exceptions.BotoCoreError as error:
        message = f"CloudFormation cannot be asked: {one_line(str(error))}"
        raise CommandFailure(message, code=ExitCode.ERRORED) from error
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def stack_api(name: str, account: Account) -> str:
    """Where a stack's API answers."""
    outputs = stack_outputs(name, account)
    if API_OUTPUT not in outputs:
        message = f"the stack {one_line(name)} has no output {API_OUTPUT}: it is no Glovebox"
        hint = "A stack that is still being made has no outputs yet."
        raise CommandFailure(message, code=ExitCode.USAGE, hint=hint)
    return outputs[API_OUTPUT]


def signature(account: Account, region: str | None = None) -> SignedRequests | None:
    """What signs requests; None where there are no credentials or no region."""
    session = account.session()
    credentials = session.get_credentials()
    region = region or session.get_config_variable("region")
    if credentials is None or region is None:
        return None
    return SignedRequests(credentials, region)


def region_of_api(url: str) -> str | None:
    """The region of an API Gateway's own address; None for any other address."""
    found = _API_HOST.fullmatch(urlsplit(url).hostname or "")
    return found[1] if found else None


def _refused(name: str, error: Mapping[str, Any]) -> CommandFailure:
    words = one_line(str(error.get("Message", "")))
    if error.get("Code") == "ValidationError":
        message = f"there is no stack {one_line(name)} in this account and region: {words}"
        hint = "Another --region or --profile? `aws cloudformation list-stacks` names them."
        return CommandFailure(message, code=ExitCode.USAGE, hint=hint)
    code = one_line(str(error.get("Code")))
    message = f"CloudFormation refuses: {code}: {words}"
    hint = "Reading outputs needs cloudformation:DescribeStacks; --api URL does without."
    expired = code in ("ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException")
    return CommandFailure(message, code=ExitCode.ERRORED, hint=_LOG_IN if expired else hint)

"""The environment of a Lambda worker: exactly what a function finds on AWS, and nothing of the
host's but PATH and LANG.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glovebox_local.executor.model import FunctionSpec
from glovebox_local.settings import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY

_FROM_HOST = ("PATH", "LANG")


@dataclass(frozen=True, slots=True)
class WorkerSurroundings:
    """What all workers of a stack share."""

    aws_endpoint_url: str
    aws_profile_file: Path
    """An empty AWS configuration: without it an SDK would read the user's own."""
    host: Mapping[str, str]
    """The host's environment, of which PATH and LANG are taken."""


def host_environment() -> dict[str, str]:
    """The part of the host's environment that workers get."""
    return {name: os.environ[name] for name in _FROM_HOST if name in os.environ}


def worker_environment(
    function: FunctionSpec, runtime_api: str, log_stream: str, around: WorkerSurroundings
) -> dict[str, str]:
    """Every variable of a worker's process; the function's own win over none of AWS's."""
    python_path = [function.task_root, *function.layers]
    reserved = {
        "_HANDLER": function.handler,
        "TZ": "UTC",
        "PYTHONPATH": os.pathsep.join(str(path) for path in python_path),
        "LAMBDA_TASK_ROOT": str(function.task_root),
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_SESSION_TOKEN": secrets.token_hex(8),
        "AWS_ENDPOINT_URL": around.aws_endpoint_url,
        "AWS_CONFIG_FILE": str(around.aws_profile_file),
        "AWS_SHARED_CREDENTIALS_FILE": str(around.aws_profile_file),
        "AWS_EC2_METADATA_DISABLED": "true",
        # There is no X-Ray daemon here; importing its SDK would cost every cold start.
        "POWERTOOLS_TRACE_DISABLED": "true",
    }
    if function.log_format == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        reserved["AWS_LAMBDA_LOG_LEVEL"] = function.log_level or "INFO"
    return {**around.host, **function.environment, **reserved}

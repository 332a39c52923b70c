"""The ledger in DynamoDB, one room behind the other."""

from __future__ import annotations

from glovebox.adapters.dynamodb_attempts import AttemptRows
from glovebox.adapters.dynamodb_batches import BatchClaims
from glovebox.adapters.dynamodb_images import ImageRows
from glovebox.adapters.dynamodb_requests import RequestRows
from glovebox.adapters.dynamodb_run_rows import RunRows
from glovebox.adapters.dynamodb_sandboxes import SandboxRows
from glovebox.adapters.dynamodb_untold import UntoldRows


class DynamoRuns(
    RunRows, RequestRows, BatchClaims, AttemptRows, SandboxRows, ImageRows, UntoldRows
):
    """Implements `ports.Runs`."""

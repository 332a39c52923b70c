"""Reads and writes the plan of a run and its rounds in the data bucket."""

from __future__ import annotations

import math

from glovebox.domain import keys
from glovebox.domain.manifest import Manifest
from glovebox.domain.plan import (
    Batch,
    BatchTicket,
    Group,
    Plan,
    Round,
    RoundAnswer,
    batch_width,
    concurrent_batches,
    split_batches,
)
from glovebox.domain.run import Run
from glovebox.ports import Artifacts

DOCUMENT_LIMIT_BYTES = 512 * 1024 * 1024
"""A plan of a million tests takes some 200 MiB."""
JSON_TYPE = "application/json"
QUEUE_SECONDS = 60
"""How long a batch may wait for a launcher. Short, since the Map never puts more batches into
the queue than launchers can take at once; a batch that is handed on waits 45 s at most."""
HEARTBEAT_SECONDS = QUEUE_SECONDS + 60
"""Without a sign of life for so long, a batch counts as lost: a wait in the queue, and three
times the launcher's beat."""


def read_manifest(artifacts: Artifacts, run_id: str) -> Manifest:
    """The run's manifest, as it was accepted."""
    content = artifacts.get(keys.manifest_key(run_id), limit=DOCUMENT_LIMIT_BYTES)
    return Manifest.model_validate_json(content)


def read_plan(artifacts: Artifacts, run_id: str) -> Plan:
    """The run's plan. Raises NotFound before there is one."""
    content = artifacts.get(keys.plan_key(run_id), limit=DOCUMENT_LIMIT_BYTES)
    return Plan.model_validate_json(content)


def write_plan(artifacts: Artifacts, plan: Plan) -> None:
    """Store the plan."""
    artifacts.put(keys.plan_key(plan.run_id), plan.model_dump_json().encode(), JSON_TYPE)


def read_round(artifacts: Artifacts, run_id: str, number: int) -> Round:
    """The groups that a round was to attempt."""
    content = artifacts.get(keys.round_key(run_id, number), limit=DOCUMENT_LIMIT_BYTES)
    return Round.model_validate_json(content)


def write_round(
    artifacts: Artifacts, run: Run, plan: Plan, manifest: Manifest, this: Round
) -> RoundAnswer:
    """Store a round: its groups, its batches, and the array that the Map reads.

    Written again, it writes the same; the array comes last, when all it names is there.
    """
    batches = split_batches(this.groups, plan.parallelism)
    tickets = []
    for index, groups in enumerate(batches):
        batch = _batch(run, plan, manifest, this.round, index, groups)
        key = keys.batch_key(run.run_id, batch.batch_id)
        artifacts.put(key, batch.model_dump_json().encode(), JSON_TYPE)
        tickets.append(
            BatchTicket(
                batch_id=batch.batch_id,
                key=key,
                timeout_seconds=_timeout_seconds(manifest),
                heartbeat_seconds=HEARTBEAT_SECONDS,
            )
        )
    artifacts.put(
        keys.round_key(run.run_id, this.round), this.model_dump_json().encode(), JSON_TYPE
    )
    batches_key = keys.round_batches_key(run.run_id, this.round)
    listed = "[" + ",".join(ticket.model_dump_json() for ticket in tickets) + "]"
    artifacts.put(batches_key, listed.encode(), JSON_TYPE)
    return RoundAnswer(
        round=this.round,
        batches=len(batches),
        batches_key=batches_key,
        max_concurrency=concurrent_batches(plan.parallelism),
    )


def _timeout_seconds(manifest: Manifest) -> int:
    """What the Map waits for a batch: as long as the run may take, since a batch may be handed
    on and wait for its turn as often as it must; that it is alive, its heartbeat says. Step
    Functions refuses a heartbeat that is not below it."""
    return max(math.ceil(manifest.timeout), HEARTBEAT_SECONDS) + QUEUE_SECONDS


def _batch(
    run: Run, plan: Plan, manifest: Manifest, number: int, index: int, groups: list[Group]
) -> Batch:
    named = {group.suite for group in groups}
    return Batch(
        run_id=run.run_id,
        batch_id=keys.batch_id(number, index),
        round=number,
        width=min(len(groups), batch_width(plan.parallelism)),
        deadline_at=run.deadline_at if run.deadline_at is not None else float("inf"),
        groups=tuple(groups),
        suites={suite.name: suite for suite in manifest.suites if suite.name in named},
        image=manifest.image.base,
        network=manifest.network,
        env=dict(manifest.env),
        secrets=manifest.secrets,
        contexts={name: plan.contexts[name] for name in named if name in plan.contexts},
        bundle_key=plan.bundle_key,
        baked=plan.baked,
        fail_fast=manifest.fail_fast,
    )

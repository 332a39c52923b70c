"""Repairs of moto's Step Functions interpreter: a Map that does not recurse, an execution that can
be stopped, heartbeats by their right name, and clients that are made once.
"""

from __future__ import annotations

import functools
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from glovebox_local.aws.contract import moto_module

_MAP = "asl.component.state.exec.state_map.iteration"

ClientFor = Callable[[str], Any]


class _NoRecord(list[object]):
    """Takes the place of moto's list of every thread it ever started, which only grows."""

    def append(self, item: object, /) -> None:
        pass


_client_for: ClientFor | None = None


def _parser(name: str) -> Any:
    return moto_module(f"stepfunctions.parser.{name}")


def use_clients(client_for: ClientFor | None) -> None:
    """Say where state machines get their clients, by service; None when the stack is gone."""
    global _client_for  # noqa: PLW0603 - moto's interpreter is one per process, and so is this
    _client_for = client_for


def _boto_client_for(region: str, service: str, state_credentials: Any = None) -> Any:
    if _client_for is None:
        msg = "the stack that this state machine belongs to has stopped"
        raise RuntimeError(msg)
    return _client_for(service)


def install() -> None:
    """Apply the repairs; to be called once per process."""
    models = _parser("models")
    utils = _parser("utils")
    boto_client = _parser("asl.utils.boto_client")
    execution = _parser("backend.execution")
    _replace_everywhere("boto_client_for", boto_client.boto_client_for, _boto_client_for)
    _replace_everywhere("TMP_THREADS", utils.TMP_THREADS, _NoRecord())
    backend = models.StepFunctionsParserBackend
    backend.start_execution = functools.partialmethod(_start_execution, backend.start_execution)
    # Parsed programs keep no state (a Map runs one in many threads); parsing takes 40 ms.
    parser = _parser("asl.parse.asl_parser").AmazonStateLanguageParser
    parser.parse = staticmethod(functools.lru_cache(maxsize=32)(parser.parse))
    _patch_maps()
    _patch_stop(execution)
    _patch_heartbeat()


def _start_execution(
    self: Any,
    stock: Callable[..., Any],
    state_machine_arn: str,
    name: str | None = None,
    *rest: Any,
) -> Any:
    # Without a name moto calls every execution "None", and refuses the second.
    return stock(self, state_machine_arn, name or str(uuid.uuid4()), *rest)


def _replace_everywhere(name: str, stock: object, repaired: object) -> None:
    # The interpreter's modules import these names one by one, so each has its own reference.
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("moto.stepfunctions") and (
            getattr(module, name, None) is stock
        ):
            setattr(module, name, repaired)


def _patch_maps() -> None:
    iteration_worker = _parser(f"{_MAP}.iteration_worker")
    distributed = _parser(f"{_MAP}.itemprocessor.distributed_item_processor_worker")
    # Stock, each item is one call deeper than the one before: an execution with about a thousand
    # items dies of RecursionError in a thread that nobody watches and stays RUNNING for ever.
    iteration_worker.IterationWorker._eval_pool = _run_inline_items
    distributed.DistributedItemProcessorWorker._eval_pool = _run_distributed_items


def _run_inline_items(self: Any, job: Any, worker_frame: Any) -> None:
    while job is not None:
        job_frame = worker_frame.open_inner_frame()
        self._eval_job(env=job_frame, job=job)
        worker_frame.close_frame(job_frame)
        if isinstance(job.job_output, Exception) or self.stopped():
            break
        following = self._job_pool.next_job()
        if following is None:
            worker_frame.event_history_context.source_event_id = (
                job_frame.event_history_context.last_published_event_id
            )
            break
        self._job_pool.close_job(job)
        job = following
    # Frame first, job second: the Map goes on when the last job is closed, and needs the frame's
    # history by then.
    self._env.close_frame(worker_frame)
    if job is not None:
        self._job_pool.close_job(job)


def _run_distributed_items(self: Any, job: Any, worker_frame: Any) -> None:
    while job is not None:
        if not self._env.is_running():
            # Stopped: the items that are left would each fail on their own, one by one.
            job.job_output = None
        else:
            job_frame = worker_frame.open_inner_frame()
            self._eval_job(env=job_frame, job=job)
            worker_frame.delete_frame(job_frame)
        if isinstance(job.job_output, Exception) or self.stopped():
            break
        following = self._job_pool.next_job()
        if following is None:
            break
        self._job_pool.close_job(job)
        job = following
    self._env.delete_frame(worker_frame)
    if job is not None:
        self._job_pool.close_job(job)


def _patch_stop(execution: Any) -> None:
    running, aborted = (getattr(_parser("api").ExecutionStatus, n) for n in ("RUNNING", "ABORTED"))
    communication = execution.BaseExecutionWorkerCommunication
    stock_stop = execution.Execution.stop
    stock_reflect = communication._reflect_execution_status

    def stop(self: Any, stop_date: Any, error: str | None, cause: str | None) -> None:
        """Abort now, as AWS does: stock, an execution that waits for a token stays RUNNING."""
        if self.exec_status != running:
            return
        _await_environment(self.exec_worker)
        stock_stop(self, stop_date, error, cause)
        self.exec_status = aborted
        self.stop_date, self.error, self.cause = stop_date, error or None, cause or None
        # list(dict.values()) of a dictionary that other threads add to: copy it in one step.
        for endpoint in list(self.exec_worker.env.callback_pool_manager._pool.copy().values()):
            endpoint.interrupt_all()

    def reflect(self: Any) -> None:
        if self.execution.exec_status != aborted:
            stock_reflect(self)

    execution.Execution.stop = stop
    communication._reflect_execution_status = reflect


def _await_environment(worker: Any) -> None:
    # The environment is made by the execution's own thread, a moment after StartExecution.
    until = time.monotonic() + 5
    while (worker.env is None or not worker.env.is_running()) and time.monotonic() < until:
        time.sleep(0.005)


def _patch_heartbeat() -> None:
    names = "asl.component.common.error_name"
    name_of = _parser(f"{names}.states_error_name").StatesErrorName
    heartbeat = _parser(
        f"{names}.states_error_name_type"
    ).StatesErrorNameType.StatesHeartbeatTimeout
    callback = _parser("asl.component.state.exec.state_task.service.state_task_service_callback")
    stock = callback.StateTaskServiceCallback._from_error

    def from_error(self: Any, env: Any, ex: Exception) -> Any:
        """A lost heartbeat is States.HeartbeatTimeout; moto calls it States.Timeout."""
        failure = stock(self, env, ex)
        if isinstance(ex, callback.HeartbeatTimeoutError):
            failure.error_name = name_of(typ=heartbeat)
            failure.event_details["taskTimedOutEventDetails"]["error"] = heartbeat.to_name()
        return failure

    callback.StateTaskServiceCallback._from_error = from_error

"""The moving parts of one stack, wired together: what moto hands its deliveries to, and what the
deployer puts in motion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from glovebox_local.delivery.buckets import object_event
from glovebox_local.delivery.queues import QueueMapping, QueuePoller
from glovebox_local.delivery.rules import RuleDelivery, as_event
from glovebox_local.delivery.schedules import Clock, ScheduleTicker
from glovebox_local.delivery.sender import TargetSender
from glovebox_local.errors import UnsupportedError
from glovebox_local.executor.asynchronous import AsyncInvoker
from glovebox_local.executor.environment import WorkerSurroundings
from glovebox_local.executor.executor import FunctionExecutor
from glovebox_local.executor.logs import cloudwatch_sink
from glovebox_local.executor.model import FunctionSpec, InvocationResult
from glovebox_local.gateway.server import Authorize, HttpApiGateway, accept_anyone
from glovebox_local.processes import ChildStarter
from glovebox_local.settings import ACCOUNT_ID, REGION, LocalSettings
from glovebox_local.threads import DaemonPool


class StackMachinery:
    """Functions, pollers, rules, schedules and the API of one stack. Nothing moves on its own
    before start(), so that no event meets a half-deployed template."""

    def __init__(
        self,
        settings: LocalSettings,
        around: WorkerSurroundings,
        client: Callable[[str], Any],
        log_dir: Path,
        clock: Clock,
        authorize: Authorize = accept_anyone,
    ) -> None:
        self._settings = settings
        self._authorize = authorize
        self._children = ChildStarter("glovebox-children")
        self._pool = DaemonPool("glovebox-delivery", settings.async_threads)
        sink = cloudwatch_sink(lambda: _moto_backend("logs"))
        self.executor = FunctionExecutor(settings, around, self._children, log_dir, sink)
        self._sender = TargetSender(client, self.invoke_async)
        self._invoker = AsyncInvoker(self.executor, self._pool, settings, self._sender.send)
        self._rules = RuleDelivery(self._pool, self._sender.send)
        self._ticker = ScheduleTicker(clock, settings.schedule_poll_seconds)
        self._pollers: list[QueuePoller] = []
        self._gateway: HttpApiGateway | None = None
        self._started = False

    def start(self) -> None:
        """Begin to poll, to tick, and to warm the functions that are to be warm."""
        self._started = True
        prewarm = set(self._settings.prewarm)
        self.executor.prewarm(
            function.name
            for function in self.executor.functions()
            if function.logical_id in prewarm
        )
        for poller in self._pollers:
            poller.start()
        self._ticker.start()

    def stop(self) -> None:
        """Stop everything that moves and kill every worker."""
        self._ticker.stop()
        self._pool.stop()
        if self._gateway is not None:
            self._gateway.stop()
        for poller in self._pollers:
            poller.stop()
        self.executor.stop()
        self._children.stop()

    @property
    def api_url(self) -> str:
        """Where the template's HTTP API is served; empty when it has none."""
        return self._gateway.url if self._gateway else ""

    # What moto's services hand over (aws.patch_delivery.Deliveries).

    def invoke(self, name_or_arn: str, payload: bytes) -> InvocationResult:
        """Run a function and wait for its answer."""
        return self.executor.invoke(name_or_arn, payload)

    def invoke_async(self, name_or_arn: str, payload: bytes) -> str:
        """Accept an event for a function and return the request id."""
        return self._invoker.invoke(name_or_arn, payload)

    def offer(self, rule: Any, event: dict[str, Any]) -> None:
        """Deliver an event to the targets of a rule, if it matches."""
        self._rules.offer(rule, as_event(event))

    def object_changed(self, bucket: Any, key: Any, event_name: str, detail_type: str) -> None:
        """Put an object's event on the default event bus."""
        event = object_event(bucket, key, event_name, detail_type)
        for bus in _moto_backend("events").event_buses.values():
            for rule in list(bus.rules.values()) if bus.name == "default" else ():
                self._rules.offer(rule, event)

    def map_queue(self, mapping: Any) -> None:
        """Begin to poll the queue of an event source mapping (moto's EventSourceMapping)."""
        if not mapping.enabled:
            return
        scaling = mapping.scaling_config or {}
        poller = QueuePoller(
            QueueMapping(
                queue_name=mapping.event_source_arn.split(":")[-1],
                queue_arn=mapping.event_source_arn,
                region=REGION,
                function=mapping.function_arn,
                batch_size=mapping.batch_size,
                window_seconds=float(mapping.max_batch_window or 0),
                concurrency=int(
                    scaling.get("MaximumConcurrency") or self._settings.max_pollers_per_queue
                ),
                report_failures="ReportBatchItemFailures"
                in (mapping.function_response_types or []),
            ),
            lambda: _moto_backend("sqs"),
            self.invoke,
        )
        self._pollers.append(poller)
        if self._started:
            poller.start()

    # What the deployer puts in motion (deployer.context.Machinery).

    def register_function(self, function: FunctionSpec) -> None:
        """Make a function invocable, or replace its description."""
        self.executor.register(function)

    def function(self, name_or_arn: str) -> FunctionSpec:
        """The description of a function."""
        return self.executor.function(name_or_arn)

    def schedule(
        self, expression: str, fire: Callable[[datetime], None], timezone: str = "UTC"
    ) -> None:
        """Fire a call on a schedule."""
        self._ticker.add(expression, fire, timezone)

    def deliver(self, targets: list[dict[str, Any]], event: dict[str, Any]) -> None:
        """Send an event to targets."""
        self._rules.deliver(targets, event)

    def serve_api(self, api_id: str, body: Mapping[str, Any]) -> str:
        """Serve an HTTP API, described by an OpenAPI document, and return its URL."""
        if self._gateway is not None:
            msg = "a local stack serves one HTTP API, the template has more"
            raise UnsupportedError(msg)
        self._gateway = HttpApiGateway(api_id, body, self.invoke, self._authorize)
        return self._gateway.url


def _moto_backend(service: str) -> Any:
    from glovebox_local.aws.contract import moto_module

    return moto_module("backends").get_backend(service)[ACCOUNT_ID][REGION]

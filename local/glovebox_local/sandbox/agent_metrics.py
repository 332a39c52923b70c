"""The agent's figures: what the sandbox uses, and what the agent was asked."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from glovebox_local.sandbox import process_table
from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import Reply, Request, reply_json
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.settings import MIB, SandboxSettings

Handler = Callable[[Request, Sandbox], Awaitable[Reply]]

# Processor use is what was used between two looks this far apart.
_SAMPLE_SECONDS = 0.1


class MetricsRoutes:
    """``/system`` and ``/metrics*``."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self.open_routes: dict[tuple[str, str], Handler] = {("GET", "/system"): self._system}
        self.routes: dict[tuple[str, str], Handler] = {
            ("GET", "/metrics"): self._metrics,
            ("GET", "/metrics/snapshot"): self._metrics,
            ("GET", "/metrics/prometheus"): self._prometheus,
        }

    async def _system(self, _: Request, sandbox: Sandbox) -> Reply:
        return reply_json(await self._use(sandbox) | {"timestamp": now()})

    async def _metrics(self, _: Request, sandbox: Sandbox) -> Reply:
        use = await self._use(sandbox)
        counters = sandbox.counters
        background = list(sandbox.background.values())
        return reply_json(
            {
                "system": use,
                "process": {
                    "count": use["processes"],
                    "background": len(background),
                    "background_running": sum(record.running for record in background),
                },
                "cache": {"size": 0},
                "uptime_seconds": round(counters.uptime_seconds, 3),
                "total_requests": sum(counters.requests.values()),
                "total_errors": sum(counters.errors.values()),
                "requests_total": counters.requests,
                "errors_total": counters.errors,
                "avg_duration_ms": {
                    name: round(1000 * route.seconds / route.requests, 3)
                    for name, route in counters.routes.items()
                },
                "timestamp": now(),
            }
        )

    async def _prometheus(self, _: Request, sandbox: Sandbox) -> Reply:
        use = await self._use(sandbox)
        counters = sandbox.counters
        gauges = {
            "glovebox_agent_uptime_seconds": counters.uptime_seconds,
            "glovebox_sandbox_processes": use["processes"],
            "glovebox_sandbox_cpu_usage_percent": use["cpu"]["usage_percent"],
            "glovebox_sandbox_memory_used_bytes": use["memory"]["used_mb"] * MIB,
            "glovebox_sandbox_memory_limit_bytes": use["memory"]["total_mb"] * MIB,
            "glovebox_sandbox_disk_used_bytes": use["disk"]["used_mb"] * MIB,
            "glovebox_sandbox_disk_size_bytes": use["disk"]["total_mb"] * MIB,
        }
        lines: list[str] = []
        for name, value in gauges.items():
            lines += [f"# TYPE {name} gauge", f"{name} {value:g}"]
        for name, counts in (
            ("glovebox_agent_requests_total", counters.requests),
            ("glovebox_agent_errors_total", counters.errors),
        ):
            lines.append(f"# TYPE {name} counter")
            lines += [_counter(name, route, count) for route, count in counts.items()]
        text = "\n".join([*lines, ""])
        return Reply(text.encode(), content_type=b"text/plain; version=0.0.4; charset=utf-8")

    async def _use(self, sandbox: Sandbox) -> dict[str, Any]:
        began = time.monotonic()
        before = await process_table.look(sandbox.files, process_table.read)
        await asyncio.sleep(_SAMPLE_SECONDS)
        after = await process_table.look(sandbox.files, process_table.read)
        elapsed = time.monotonic() - began
        earlier = {entry.pid: entry.processor_seconds for entry in before}
        used = sum(entry.processor_seconds - earlier.get(entry.pid, 0.0) for entry in after)
        cpus = min(self._settings.cpus, float(os.cpu_count() or 1))
        memory = sum(entry.memory_bytes for entry in after)
        size, free = sandbox.files.space()
        return {
            "cpu": {"usage_percent": _percent(used, elapsed * cpus), "cores": cpus},
            "memory": _room(memory, self._settings.memory_mb * MIB),
            "disk": _room(size - free, size),
            "processes": len(after),
            "uptime_seconds": round(sandbox.counters.uptime_seconds, 3),
        }


def _room(used: int, total: int) -> dict[str, float]:
    return {
        "total_mb": round(total / MIB, 1),
        "used_mb": round(used / MIB, 1),
        "usage_percent": _percent(used, total),
    }


def _percent(part: float, whole: float) -> float:
    return round(min(100.0, max(0.0, 100 * part / whole)), 1)


def _counter(name: str, route: str, count: int) -> str:
    method, _, path = route.partition(" ")
    return f'{name}{{method="{method}",path="{path}"}} {count}'

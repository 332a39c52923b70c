"""The embedded stack: the product's own template, running whole on this machine.

with LocalStack() as stack:
    print(stack.endpoints.api_url)
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from glovebox_local.aws.service_models import private_sessions
from glovebox_local.delivery.schedules import Clock, system_clock
from glovebox_local.deployer.deployer import Deployer, Deployment
from glovebox_local.deployer.document import read_document
from glovebox_local.deployer.translator import TranslatorProcess
from glovebox_local.endpoints import STATE_DIR_PREFIX, Endpoints, publish
from glovebox_local.errors import LocalStackError
from glovebox_local.executor.environment import WorkerSurroundings, host_environment
from glovebox_local.machinery import StackMachinery
from glovebox_local.processes import ChildStarter
from glovebox_local.sandbox.runtime import set_up_site
from glovebox_local.sandbox.server import SandboxServerProcess
from glovebox_local.secrets_store import store_secrets
from glovebox_local.settings import (
    ACCESS_KEY_ID,
    REGION,
    SECRET_ACCESS_KEY,
    LocalSettings,
    cpu_count,
)

_REPOSITORY = Path(__file__).resolve().parents[2]
# The template's outputs that a client needs, and the Endpoints field of each.
_OUTPUTS = {
    "ManifestBucketName": "manifest_bucket",
    "DataBucketName": "data_bucket",
    "RunTopicArn": "topic_arn",
    "RunStateMachineArn": "state_machine_arn",
    "LaunchQueueUrl": "launch_queue_url",
    "RunsTableName": "table",
}
_SANDBOX_START_SECONDS = 15.0


class SandboxServer(Protocol):
    """The server that sandboxes are asked of, as the stack needs it."""

    @property
    def url(self) -> str:
        """Its base URL, once started."""
        ...

    @property
    def isolation(self) -> str:
        """The level of isolation that it reached, once started."""
        ...

    def start(self) -> object:
        """Start it and wait until it answers."""
        ...

    def stop(self) -> object:
        """Stop it and every sandbox that it runs."""
        ...


# Makes the sandbox server, given its API key and the file for its complaints.
SandboxServerFactory = Callable[[str, Path], SandboxServer]


def default_template() -> Path:
    """The product's template. Raises LocalStackError outside a checkout of the repository."""
    path = _REPOSITORY / "template.yaml"
    if not path.is_file():
        msg = f"no template at {path}: local mode needs a checkout of the Glovebox repository"
        raise LocalStackError(msg)
    return path


def product_sandbox_server(api_key: str, log: Path) -> SandboxServer:
    """The product's own sandbox server; its sandboxes have the Python packages that were set up
    for them in the repository, if they were."""
    return SandboxServerProcess(api_key, runtime_site=set_up_site(), log=log)


class LocalStack:
    """One stack, from start() to stop(); a context manager does both."""

    def __init__(
        self,
        template: Path | None = None,
        *,
        name: str = "glovebox",
        parameters: Mapping[str, str] | None = None,
        state_dir: Path | None = None,
        on_progress: Callable[[str], None] | None = None,
        settings: LocalSettings | None = None,
        sandbox_server: SandboxServer | SandboxServerFactory | None = None,
        clock: Clock = system_clock,
        announce: bool = False,
        secrets_of_tests: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a stack; nothing happens before start().

        ``parameters`` win over those that the stack sets itself (HopxBaseUrl, HopxApiKey,
        MaxParallelism, QuickImages, no pacing). ``state_dir`` is kept by stop(), the temporary
        default is removed.
        ``announce`` lets find_running_stacks() of this user's other processes find the stack.
        ``secrets_of_tests``: what manifests may name, name to value.
        """
        self._template = template
        self._name = name
        self._parameters = dict(parameters or {})
        self._given_state_dir = state_dir
        self._progress = on_progress or (lambda _: None)
        self._settings = settings or LocalSettings()
        self._sandbox_server = sandbox_server or product_sandbox_server
        self._clock = clock
        self._announce = announce
        self._secrets_of_tests = dict(secrets_of_tests or {})
        self._endpoints: Endpoints | None = None
        self._deployment: Deployment | None = None
        self._machinery: StackMachinery | None = None
        self._undo: list[Callable[[], None]] = []
        # Re-entrant: a signal handler may call stop() while the main thread is inside it.
        self._stopping = threading.RLock()

    @property
    def endpoints(self) -> Endpoints:
        """Where the stack answers. Raises LocalStackError when it does not run."""
        if self._endpoints is None:
            msg = "the stack does not run"
            raise LocalStackError(msg)
        return self._endpoints

    @property
    def deployment(self) -> Deployment:
        """What was deployed: outputs and resources. Raises LocalStackError when nothing is."""
        if self._deployment is None:
            msg = "the stack does not run"
            raise LocalStackError(msg)
        return self._deployment

    def worker_pids(self) -> list[int]:
        """The processes of the stack's Lambda workers."""
        return self._machinery.executor.worker_pids() if self._machinery else []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Endpoints:
        """Start everything and return once all of it answers.

        Raises LocalStackError (TemplateError, AlreadyRunningError, …) with nothing left running.
        """
        if self._endpoints is not None:
            return self._endpoints
        atexit.register(self.stop)
        try:
            self._endpoints = self._start()
        except BaseException:
            self.stop()
            raise
        return self._endpoints

    def _start(self) -> Endpoints:
        started_at = datetime.now(UTC)
        template = self._template or default_template()
        declared = frozenset(read_document(template).get("Parameters") or {})
        state_dir = self._make_state_dir()
        api_key = secrets.token_urlsafe(24)
        # Other processes, on another processor, while this one imports moto.
        translator = TranslatorProcess()
        self._undo.append(translator.close)
        sandboxes = self._start_sandboxes(api_key, state_dir) if "HopxBaseUrl" in declared else None
        self._progress("starting AWS")
        with private_sessions():
            machinery, emulator_url = self._start_aws(state_dir)
            server = sandboxes.result() if sandboxes else None
            own = {
                "HopxBaseUrl": server.url if server else "",
                "HopxApiKey": api_key,
                # One more than there are processors: while one sandbox is made or emptied, the
                # others keep all of them busy. More would only take turns.
                "MaxParallelism": str(cpu_count() + 1),
                # The server of this stack is no service to be spared: nothing ever waits.
                "SandboxesPerMinute": "100000",
                "MaxSandboxes": "10000",
                "CircuitFailures": "0",
                "QuickImages": "false" if "HopxBaseUrl" in self._parameters else "true",
            }
            given = {k: v for k, v in own.items() if k in declared} | self._parameters
            self._progress("deploying the template")
            deployer = Deployer(self._name, self._client, machinery, translator)
            deployment = self._deployment = deployer.deploy(template, given)
            store_secrets(self._client, deployment, self._secrets_of_tests)
        machinery.start()
        known = {field: deployment.outputs.get(name, "") for name, field in _OUTPUTS.items()}
        endpoints = Endpoints(
            aws_endpoint_url=emulator_url,
            api_url=machinery.api_url,
            sandbox_url=server.url if server else "",
            region=REGION,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
            isolation=server.isolation if server else "none",
            pid=os.getpid(),
            log_dir=str(state_dir / "logs"),
            started_at=started_at.isoformat(timespec="seconds"),
            **known,
        )
        self._publish(endpoints, state_dir)
        self._progress("ready")
        return endpoints

    def _make_state_dir(self) -> Path:
        if self._given_state_dir is not None:
            state_dir = self._given_state_dir
            state_dir.mkdir(parents=True, exist_ok=True)
        else:
            state_dir = Path(tempfile.mkdtemp(prefix=STATE_DIR_PREFIX))
            self._undo.append(lambda: shutil.rmtree(state_dir, ignore_errors=True))
        (state_dir / "logs").mkdir(exist_ok=True)
        return state_dir

    def _start_sandboxes(self, api_key: str, state_dir: Path) -> Future[SandboxServer]:
        given = self._sandbox_server
        # A thread of its own that lives as long as the stack: the server's process asks the
        # kernel to be killed when the thread that started it ends.
        children = ChildStarter("glovebox-sandboxes")
        self._undo.append(children.stop)
        result: Future[SandboxServer] = Future()

        log = state_dir / "logs" / "sandboxes.log"
        server = given(api_key, log) if callable(given) else given

        def start() -> None:
            try:
                server.start()
                result.set_result(server)
            except Exception as error:
                failure = LocalStackError(f"the sandbox server did not start: {error}")
                failure.__cause__ = error
                result.set_exception(failure)

        def stop() -> None:
            # A start that is still under way is let through first: what it makes must be undone.
            with contextlib.suppress(Exception):
                result.result(_SANDBOX_START_SECONDS)
            server.stop()

        self._undo.append(stop)
        children.post(start)
        return result

    def _start_aws(self, state_dir: Path) -> tuple[StackMachinery, str]:
        from glovebox_local.aws.clients import EMPTY_PROFILE
        from glovebox_local.aws.emulator import AwsEmulator

        profile = state_dir / "aws-profile"
        profile.write_text(EMPTY_PROFILE, encoding="utf-8")
        emulator = AwsEmulator(profile)
        self._undo.append(emulator.stop)
        self._client = emulator.client
        around = WorkerSurroundings(emulator.url, profile, host_environment())
        machinery = self._machinery = StackMachinery(
            self._settings, around, emulator.client, state_dir / "logs", self._clock
        )
        self._undo.append(machinery.stop)
        emulator.start(machinery)
        return machinery, emulator.url

    def _publish(self, endpoints: Endpoints, state_dir: Path) -> None:
        if not self._announce:
            return
        temporary = None if self._given_state_dir else state_dir
        path = publish(endpoints, temporary)
        self._undo.append(lambda: path.unlink(missing_ok=True))

    def stop(self) -> None:
        """Stop everything: no process, port or temporary folder is left. May be called twice."""
        with self._stopping:
            steps, self._undo = self._undo, []
            self._endpoints = self._deployment = self._machinery = None
            errors: list[Exception] = []
            for step in reversed(steps):
                try:
                    step()
                except Exception as error:  # the other steps must still be taken
                    errors.append(error)
            atexit.unregister(self.stop)
        if errors:
            raise errors[0]

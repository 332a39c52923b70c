"""moto for the length of one stack: checked, repaired, served, and emptied at the end."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from glovebox_local.errors import AlreadyRunningError

_install_lock = threading.Lock()
_in_use = threading.Lock()
_installed = False


class AwsEmulator:
    """The emulated AWS of this process; one at a time, since moto's state is the process's."""

    def __init__(self, profile: Path) -> None:
        if not _in_use.acquire(blocking=False):
            msg = "this process runs a local stack already; stop it first, or use another process"
            raise AlreadyRunningError(msg)
        try:
            _install_repairs()
            from glovebox_local.aws.clients import AwsClients
            from glovebox_local.aws.front import AwsFront

            self._front = AwsFront()
            self.url = self._front.url
            self._clients = AwsClients(self._front.handle, self.url, profile)
        except BaseException:
            _in_use.release()
            raise

    def client(self, service: str) -> Any:
        """A client of a service that reaches it without a socket."""
        return self._clients.get(service)

    def start(self, deliveries: Any) -> None:
        """Begin to answer, handing deliveries (aws.patch_delivery.Deliveries) to the stack."""
        from moto.core.config import default_user_config

        from glovebox_local.aws import patch_delivery, patch_stepfunctions

        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        patch_delivery.connect(deliveries)
        # The interpreter builds requests from state machines, and AWS decides what is wrong.
        patch_stepfunctions.use_clients(lambda name: self._clients.get(name, validate=False))
        self._front.start()

    def stop(self) -> None:
        """Close the port, abort what runs, and forget everything that was stored."""
        from glovebox_local.aws import patch_delivery, patch_stepfunctions

        try:
            self._front.stop()
            patch_delivery.connect(None)
            patch_stepfunctions.use_clients(None)
            _abort_executions()
            _forget()
        finally:
            _in_use.release()


def _install_repairs() -> None:
    global _installed  # noqa: PLW0603 - moto is patched once per process
    with _install_lock:
        if _installed:
            return
        from glovebox_local.aws import contract, lean_import

        with lean_import.without_instance_types():
            contract.check_moto()
        from glovebox_local.aws import (
            patch_delivery,
            patch_stepfunctions,
            patch_storage,
            patch_transactions,
        )

        # A state that fails is its state machine's business; moto logs pages for each.
        logging.getLogger("moto").setLevel(logging.CRITICAL)
        _remember_actions()
        _forget_instances()
        patch_transactions.install()  # first: patch_storage locks what is there
        patch_storage.install()
        patch_stepfunctions.install()
        patch_delivery.install()
        _installed = True


def _remember_actions() -> None:
    from glovebox_local.aws.contract import moto_module

    # moto looks up by reflection which actions a service has, on every request: 8 % of its time.
    responses = moto_module("core.responses")
    responses.method_names_from_class = cache(responses.method_names_from_class)


def _forget_instances() -> None:
    """moto keeps every object that it ever made, for a page of its own that shows them: each row
    of each answer to a query, for as long as the process lives."""
    from glovebox_local.aws.contract import moto_module

    models = moto_module("core.common_models")

    def make(cls: Any, *_: Any, **__: Any) -> Any:
        return super(models.BaseModel, cls).__new__(cls)

    models.BaseModel.__new__ = make


def _abort_executions() -> None:
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    for account in list(stepfunctions_parser_backends.values()):
        for backend in list(account.values()):
            for machine in backend.state_machines:
                for execution in list(machine.executions):
                    execution.stop(datetime.now(UTC), None, None)


def _forget() -> None:
    from moto.core.base_backend import BackendDict
    from moto.core.model_instances import reset_model_data

    BackendDict.reset()
    reset_model_data()

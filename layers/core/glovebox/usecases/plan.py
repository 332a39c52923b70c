"""Plan a run: discover the tests in a sandbox (discovery runs user code), cut the first round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glovebox.domain import keys
from glovebox.domain.errors import DiscoveryError, SandboxError, TooManyTests
from glovebox.domain.manifest import Bake, Image, Manifest, Suite
from glovebox.domain.outcome import RunState
from glovebox.domain.ownership import ImageUse
from glovebox.domain.plan import Plan, PlannedTest, Round, RoundAnswer, group_tests
from glovebox.domain.run import Run
from glovebox.frameworks.contract import Command, Discovery
from glovebox.frameworks.registry import framework_of
from glovebox.ports import (
    Artifacts,
    Clock,
    Images,
    NewToken,
    Runs,
    Sandbox,
    Sandboxes,
    SandboxRequest,
)
from glovebox.usecases.prepare import ARCHIVE_TYPE, setup_env
from glovebox.usecases.process import Process, run_process
from glovebox.usecases.rounds import read_manifest, write_plan, write_round
from glovebox.usecases.sandbox_scope import fresh_sandbox
from glovebox.usecases.source import MAX_ARCHIVE_BYTES, make_bundle

DISCOVERY_SECONDS = 300
"""Longest listing of one suite's tests."""
COMPILED_SECONDS = 60
BAKE_FROM_SANDBOXES = 10
"""A quick build costs as much as the uploads to some five sandboxes."""
_COMPILED = "/workspace/compiled.tar.gz"
_COLLECT_COMPILED = (
    "find src home -name '*.pyc' -path '*/__pycache__/*' -print0"
    f" | tar --null --no-recursion -T - -czf {_COMPILED}"
)
_REASON_CHARACTERS = 4000


@dataclass
class PlanRun:
    """Writes the plan and the first round."""

    sandboxes: Sandboxes
    runs: Runs
    artifacts: Artifacts
    clock: Clock
    new_token: NewToken
    max_parallelism: int
    """The stack's own limit of sandboxes at once."""
    images: Images
    quick_images: bool
    """Whether the provider builds an image in a moment: `bake: auto` then bakes every run's."""
    max_tests: int
    """The stack's own limit of tests in a run."""

    def __call__(self, run_id: str) -> RoundAnswer:
        """Plan the run. Raises SandboxError where the provider is at fault, RunStopped where the
        run was stopped meanwhile, TooManyTests."""
        run = self.runs.update_run(run_id, state=RunState.PLANNING)
        manifest = read_manifest(self.artifacts, run_id)
        prepared = self.artifacts.get(keys.prepared_key(run_id), limit=MAX_ARCHIVE_BYTES)
        discoveries, compiled = self._discover(run, manifest, prepared)
        tests = tuple(planned_tests(discoveries))
        if len(tests) > self.max_tests:
            raise TooManyTests(len(tests), self.max_tests)
        bundle = make_bundle(prepared, compiled)
        self.artifacts.put(keys.bundle_key(run_id), bundle, ARCHIVE_TYPE)
        groups = group_tests(tests, {suite.name: suite for suite in manifest.suites})
        plan = Plan(
            run_id=run_id,
            name=manifest.name,
            tests=tests,
            contexts={name: dict(found.context) for name, found in discoveries.items()},
            bundle_key=keys.bundle_key(run_id),
            baked=self._bake(run_id, manifest.image, bundle, len(groups)),
            parallelism=min(manifest.parallelism, self.max_parallelism),
        )
        write_plan(self.artifacts, plan)
        first = Round(run_id=run_id, round=1, groups=groups if run.stop_reason is None else ())
        answer = write_round(self.artifacts, run, plan, manifest, first)
        self.runs.update_run(
            run_id, state=RunState.RUNNING, total=len(plan.tests), parallelism=plan.parallelism
        )
        return answer

    def _bake(self, run_id: str, image: Image, bundle: bytes, sandboxes: int) -> str | None:
        """The image that spares every sandbox the bundle; None where there is to be none, or
        where the provider does not make it: a saving only."""
        pays = self.quick_images and sandboxes >= BAKE_FROM_SANDBOXES
        if image.bake is Bake.NEVER or (image.bake is Bake.AUTO and not pays):
            return None
        name = keys.image_name(image.base, bundle)
        # Known before it is made, so that the sweeper finds it whatever becomes of this run.
        self.runs.note_image(ImageUse(name, run_id, self.clock.now()))
        try:
            self.images.bake(name, image.base, bundle)
        except SandboxError:
            return None
        return name

    def _discover(
        self, run: Run, manifest: Manifest, prepared: bytes
    ) -> tuple[dict[str, Discovery], bytes]:
        discoveries: dict[str, Discovery] = {}
        asked = []
        for suite in manifest.suites:
            command = framework_of(suite).discover_command(suite)
            if command is None:
                discoveries[suite.name] = framework_of(suite).read_discovery(suite, None, "")
            else:
                asked.append((suite, command))
        compiled = b""
        if asked:
            found, compiled = self._discover_in_sandbox(run, manifest, prepared, asked)
            discoveries.update(found)
        return {suite.name: discoveries[suite.name] for suite in manifest.suites}, compiled

    def _discover_in_sandbox(
        self, run: Run, manifest: Manifest, prepared: bytes, asked: Sequence[tuple[Suite, Command]]
    ) -> tuple[dict[str, Discovery], bytes]:
        request = SandboxRequest(
            image=manifest.image.base,
            network=manifest.network,
            ttl_seconds=DISCOVERY_SECONDS * len(asked) + COMPILED_SECONDS + 120,
        )
        with fresh_sandbox(self.sandboxes, request, self.runs, self.clock, run) as sandbox:
            found = {}
            bundle = prepared
            for index, (suite, command) in enumerate(asked):
                found[suite.name] = self._list(sandbox, index, manifest, suite, command, bundle)
                bundle = b""  # unpacked once
            return found, self._compiled(sandbox)

    def _list(
        self,
        sandbox: Sandbox,
        index: int,
        manifest: Manifest,
        suite: Suite,
        command: Command,
        bundle: bytes,
    ) -> Discovery:
        nonce = self.new_token()
        env = setup_env({**manifest.env, **suite.env})
        process = Process(f"discover-{index}", command, nonce, DISCOVERY_SECONDS, env, bundle)
        evidence = run_process(sandbox, process, self.clock)
        try:
            return framework_of(suite).read_discovery(suite, evidence, nonce)
        except DiscoveryError as error:
            # Never an empty green: a suite that cannot be listed is one errored entry.
            words = f"{error.reason}\n{error.log}"[:_REASON_CHARACTERS]
            return Discovery(broken={suite.name: words})

    def _compiled(self, sandbox: Sandbox) -> bytes:
        """What Python compiled while it listed the tests: every sandbox would do it again.
        A saving only, so its failure changes nothing."""
        command = Command(("bash", "-c", f"cd /workspace && {_COLLECT_COMPILED}"))
        nonce = self.new_token()
        process = Process("compiled", command, nonce, COMPILED_SECONDS, setup_env({}))
        try:
            evidence = run_process(sandbox, process, self.clock)
            if evidence.nonce != nonce or evidence.exit_code != 0:
                return b""
            return sandbox.download(_COMPILED, limit=MAX_ARCHIVE_BYTES)
        except SandboxError:
            return b""


def planned_tests(discoveries: dict[str, Discovery]) -> list[PlannedTest]:
    """Everything that the run must account for: the tests, and what could not be loaded.

    A suite in which nothing was found is one errored entry beside the others' tests: a green run
    must not hide it. Where nothing was found at all, the run has no tests, and says so itself.
    """
    planned: list[PlannedTest] = []
    any_found = any(found.tests or found.broken for found in discoveries.values())
    for suite, found in discoveries.items():
        if any_found and not found.tests and not found.broken:
            words = "no tests were found in this suite"
            planned.append(PlannedTest(suite=suite, test_id=suite, cannot_run=words))
        planned.extend(PlannedTest(**test.model_dump()) for test in found.tests)
        planned.extend(
            PlannedTest(
                suite=suite,
                test_id=test_id,
                file=test_id.partition("::")[0] if test_id != suite else None,
                cannot_run=f"could not be loaded: {reason}",
            )
            for test_id, reason in found.broken.items()
        )
    return planned

"""What handlers measure, as CloudWatch reads it from their log."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from glovebox.domain.errors import SandboxRefused, SandboxUnavailable
from glovebox.telemetry import MetricName, publish, publish_creations
from glovebox.usecases.creations import Creations, CreationTally
from glovebox.usecases.reduce import Notification

from tests.faults.handlers import load_function

Lines = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Glovebox/mine")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "launcher")


def printed(capsys: Lines) -> list[dict[str, Any]]:
    """Every line of EMF since the last call."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_metric_is_one_line_in_the_namespace_of_its_stack(capsys: Lines) -> None:
    publish({MetricName.BATCHES_HANDED_ON: 2})
    [line] = printed(capsys)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Glovebox/mine"
    assert directive["Dimensions"] == [["service"]]
    assert directive["Metrics"] == [{"Name": "BatchesHandedOn", "Unit": "Count"}]
    assert (line["service"], line["BatchesHandedOn"]) == ("launcher", [2.0])


def test_nothing_is_printed_for_nothing(capsys: Lines) -> None:
    publish({MetricName.DEAD_LETTERS: 0})
    publish_creations([], throttles=0, faults=0)
    assert printed(capsys) == []


def test_where_no_namespace_is_given_nothing_is_printed_and_nothing_fails(
    capsys: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POWERTOOLS_METRICS_NAMESPACE")
    publish({MetricName.BATCHES_HANDED_ON: 1})
    assert printed(capsys) == []


def test_creations_are_one_line_with_the_seconds_of_each(capsys: Lines) -> None:
    publish_creations([0.0, 1.5], throttles=1, faults=0)
    [line] = printed(capsys)
    assert line["SandboxesCreated"] == [2.0]
    assert line["CreationSeconds"] == [0.0, 1.5]
    assert line["ProviderThrottles"] == [1.0]
    assert "ProviderFaults" not in line


def test_creations_are_told_apart_by_what_the_provider_said() -> None:
    tally = CreationTally()
    tally.created(0.5)
    tally.failed(SandboxUnavailable("429", retry_after_seconds=3))
    tally.failed(SandboxUnavailable("503"))
    tally.failed(SandboxRefused("no such image"))
    tally.failed(SandboxUnavailable("no permit", retry_after_seconds=9, asked=False))
    assert tally.take() == Creations(seconds=(0.5,), throttled=1, faults=2)
    assert tally.take() == Creations()


def test_the_reducer_counts_its_run_and_its_tests(capsys: Lines) -> None:
    summary = {"passed": 3, "failed": 1, "errored": 0, "timed_out": 0, "skipped": 0, "cancelled": 0}
    told = Notification(json.dumps({"summary": summary}), "n", "failed", changed=False)
    load_function("reducer").measure(told)
    lines = printed(capsys)
    assert [line["conclusion"] for line in lines if "RunsFinished" in line] == ["failed"]
    tests = Counter(
        {line["result"]: line["TestsFinished"][0] for line in lines if "result" in line}
    )
    assert tests == {"passed": 3.0, "failed": 1.0}
    [by_result, _] = [line for line in lines if "result" in line]
    assert set(by_result["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]) == {"service", "result"}


def test_a_launcher_publishes_what_it_counted_though_its_batch_failed(
    capsys: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = load_function("launcher")

    class Failing:
        tally = CreationTally()

        def __call__(self, *_: object) -> None:
            self.tally.created(2.0)
            raise RuntimeError

    monkeypatch.setattr(launcher, "wired", Failing)
    body = json.dumps({"run_id": "r", "batch_id": "b", "key": "k", "token": "t"})
    with pytest.raises(RuntimeError):
        launcher.drive(body, None)
    assert [line["CreationSeconds"] for line in printed(capsys)] == [[2.0]]

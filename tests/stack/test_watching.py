"""Alarms and the dashboard: they watch what exists, and the stack's own metrics are published."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from glovebox.telemetry import MetricName

from tests.stack.definitions import NOUNS, Json, expanded, logical_id, resources, template

ALARMS = sorted(resources("AWS::CloudWatch::Alarm"))
NAMESPACE = "Glovebox/${AWS::StackName}"
# The metrics of AWS that are watched, and the dimension by which each service tells ours apart.
OF_AWS = {
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): "QueueName",
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): "QueueName",
    ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"): "QueueName",
    ("AWS/Lambda", "Errors"): "FunctionName",
    ("AWS/Lambda", "Throttles"): "FunctionName",
    ("AWS/Lambda", "ConcurrentExecutions"): "FunctionName",
    ("AWS/States", "ExecutionsStarted"): "StateMachineArn",
    ("AWS/States", "ExecutionsFailed"): "StateMachineArn",
    ("AWS/States", "ExecutionsTimedOut"): "StateMachineArn",
    ("AWS/ApiGateway", "5xx"): "ApiId",
}


def _watched(alarm: Json) -> list[Json]:
    """The metrics of an alarm, one or many."""
    if "Metrics" in alarm:
        return [
            entry["MetricStat"]["Metric"] for entry in alarm["Metrics"] if "MetricStat" in entry
        ]
    return [alarm]


def _source(value: Any) -> str:
    """The logical id behind a dimension's value."""
    reference = value.get("Ref") or value["Fn::GetAtt"][0]
    assert reference in template()["Resources"]
    return str(reference)


def _sources(metric: str) -> set[str]:
    return {
        _source(dimension["Value"])
        for alarm in resources("AWS::CloudWatch::Alarm").values()
        for watched in _watched(alarm)
        if watched["MetricName"] == metric
        for dimension in watched["Dimensions"]
    }


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_something_that_is_measured(name: str) -> None:
    for watched in _watched(resources("AWS::CloudWatch::Alarm")[name]):
        [dimension] = watched["Dimensions"]
        if watched["Namespace"] == {"Fn::Sub": NAMESPACE}:
            assert MetricName(watched["MetricName"]).unit.value == "Count"
            assert dimension["Name"] == "service"
            assert dimension["Value"] in NOUNS
        else:
            known = OF_AWS[(watched["Namespace"], watched["MetricName"])]
            assert dimension["Name"] == known
            _source(dimension["Value"])


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_the_topic_of_its_begin_and_its_end_and_only_if_there_is_one(
    name: str,
) -> None:
    alarm = resources("AWS::CloudWatch::Alarm")[name]
    told = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    assert (alarm["AlarmActions"], alarm["OKActions"]) == (told, told)
    assert alarm["TreatMissingData"] == "notBreaching"
    assert re.fullmatch(r"[A-Z].{20,}\.", alarm["AlarmDescription"])


def test_every_dead_letter_queue_is_watched() -> None:
    dead = {name for name in resources("AWS::SQS::Queue") if "DeadLetter" in name}
    assert _sources("ApproximateNumberOfMessagesVisible") == dead


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_every_function_is_watched(metric: str) -> None:
    assert _sources(metric) == {logical_id(noun) for noun in NOUNS}


def test_a_message_that_is_driven_is_not_too_old() -> None:
    alarm = resources("AWS::CloudWatch::Alarm")["LaunchQueueAgeAlarm"]
    assert alarm["Threshold"] > expanded("AWS::Lambda::Function")["LauncherFunction"]["Timeout"]


def test_executions_that_end_without_a_report_or_a_notice_are_watched() -> None:
    assert _sources("ExecutionsFailed") == {"RunStateMachine"}
    assert _sources("ExecutionsTimedOut") == {"RunStateMachine"}


def test_the_functions_publish_into_the_namespace_that_is_watched() -> None:
    for name, function in expanded("AWS::Lambda::Function").items():
        namespace = function["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"]
        assert namespace == {"Fn::Sub": NAMESPACE}, name
    assert template()["Outputs"]["MetricsNamespace"]["Value"] == {"Fn::Sub": NAMESPACE}


def _widgets() -> list[Json]:
    [dashboard] = resources("AWS::CloudWatch::Dashboard").values()
    widgets: list[Json] = json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]
    return widgets


def test_the_dashboard_shows_every_metric_of_ours_and_only_what_is_measured() -> None:
    shown: set[str] = set()
    for widget in _widgets():
        for metric in widget["properties"]["metrics"]:
            if isinstance(metric[0], dict):
                [searched] = re.findall(
                    r'^SEARCH\(\'\{"Glovebox/\$\{AWS::StackName\}",service,(?:conclusion|result)\} '
                    r'MetricName="(\w+)"\', \'Sum\', 300\)$',
                    metric[0]["expression"],
                )
                shown.add(searched)
            elif metric[0] == NAMESPACE:
                assert (metric[2], metric[3] in NOUNS) == ("service", True)
                shown.add(metric[1])
            else:
                assert metric[2] == OF_AWS[(metric[0], metric[1])]
                assert re.findall(r"\w+", metric[3])[0] in template()["Resources"]
    assert shown == {metric.value for metric in MetricName}


def test_no_widget_of_the_dashboard_covers_another() -> None:
    places = [(widget["x"], widget["y"]) for widget in _widgets()]
    assert len(set(places)) == len(places)
    assert all(widget["width"] == 8 and widget["height"] == 6 for widget in _widgets())
    assert all(x in (0, 8, 16) and y % 6 == 0 for x, y in places)

"""What the repairs take for granted about moto, checked before the first of them is applied."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import version
from operator import attrgetter
from typing import Any

from glovebox_local.errors import EmulatorMismatchError

MOTO_VERSION = "5.2.5"

_SQS = "moto.sqs.models"
_DYNAMODB = "moto.dynamodb.models"
_S3 = "moto.s3.models"
_SFN = "moto.stepfunctions.parser"
_MAP = f"{_SFN}.asl.component.state.exec.state_map.iteration"
_TASK = f"{_SFN}.asl.component.state.exec.state_task"

# Symbol -> the names of its parameters, in order; None = it only has to be there.
SYMBOLS: dict[tuple[str, str], tuple[str, ...] | None] = {
    ("moto.core.responses", "method_names_from_class"): ("clazz",),
    ("moto.core.common_models", "BaseModel.__new__"): ("cls", "args", "kwargs"),
    (_SQS, "unix_time_millis"): ("dt",),
    (_SQS, "Queue.add_message"): ("self", "message"),
    (_SQS, "Queue.messages"): None,
    (_SQS, "SQSBackend.receive_message"): (
        "self",
        "queue_name",
        "count",
        "wait_seconds_timeout",
        "visibility_timeout",
        "message_attribute_names",
    ),
    (_SQS, "SQSBackend.delete_message"): ("self", "queue_name", "receipt_handle"),
    (_SQS, "SQSBackend.change_message_visibility"): (
        "self",
        "queue_name",
        "receipt_handle",
        "visibility_timeout",
    ),
    (_SQS, "SQSBackend.purge_queue"): ("self", "queue_name"),
    (_DYNAMODB, "DynamoDBBackend.put_item"): None,
    (_DYNAMODB, "DynamoDBBackend.get_item"): None,
    (_DYNAMODB, "DynamoDBBackend.query"): None,
    (_DYNAMODB, "DynamoDBBackend.scan"): None,
    (_DYNAMODB, "DynamoDBBackend.update_item"): None,
    (_DYNAMODB, "DynamoDBBackend.delete_item"): None,
    (_DYNAMODB, "DynamoDBBackend.transact_write_items"): ("self", "transact_items"),
    ("moto.dynamodb.models.table", "Table.query"): (
        "self",
        "hash_key",
        "range_comparison",
        "range_objs",
        "limit",
        "exclusive_start_key",
        "scan_index_forward",
        "projection_expressions",
        "index_name",
        "consistent_read",
        "filter_expression",
        "hash_key_conditions",
        "range_key_conditions",
        "filter_kwargs",
    ),
    ("moto.dynamodb.models.table", "Table.all_items"): ("self",),
    (_S3, "get_s3_default_key_buffer_size"): (),
    (_S3, "S3Backend.put_object"): None,
    (_S3, "S3Backend.put_object_tagging"): ("self", "key", "tags"),
    (_S3, "S3Backend.list_objects"): None,
    (_S3, "S3Backend.delete_object"): None,
    (_S3, "S3Backend.delete_objects"): None,
    (_S3, "S3Backend.copy_object"): None,
    (_S3, "S3Backend.complete_multipart_upload"): None,
    ("moto.s3.notifications", "send_event"): ("account_id", "event_name", "bucket", "key"),
    ("moto.s3.notifications", "quote_plus"): None,
    ("moto.s3.notifications", "_detail_type"): ("event_name",),
    ("moto.s3.notifications", "_send_event_bridge_message"): (
        "account_id",
        "bucket",
        "event_name",
        "key",
    ),
    ("moto.s3.notifications", "_invoke_awslambda"): (
        "account_id",
        "event_body",
        "fn_arn",
        "region_name",
    ),
    ("moto.events.models", "Rule.send_to_targets"): ("self", "original_event", "transform_input"),
    ("moto.events.models", "EventPattern.matches_event"): ("self", "event"),
    ("moto.events.models", "EventPattern.get_pattern"): ("self",),
    ("moto.sns.models", "Subscription.publish"): (
        "self",
        "message",
        "message_id",
        "subject",
        "message_attributes",
        "group_id",
        "deduplication_id",
        "message_structure",
    ),
    ("moto.awslambda.models", "LambdaFunction.invoke"): (
        "self",
        "body",
        "request_headers",
        "response_headers",
    ),
    ("moto.awslambda.models", "LambdaFunction._invoke_lambda"): ("self", "event"),
    ("moto.awslambda.models", "LambdaBackend.create_event_source_mapping"): ("self", "spec"),
    (f"{_SFN}.asl.utils.boto_client", "boto_client_for"): (
        "region",
        "service",
        "state_credentials",
    ),
    (f"{_SFN}.utils", "TMP_THREADS"): None,
    (f"{_SFN}.asl.parse.asl_parser", "AmazonStateLanguageParser.parse"): ("definition",),
    (f"{_SFN}.models", "StepFunctionsParserBackend.start_execution"): (
        "self",
        "state_machine_arn",
        "name",
        "execution_input",
        "trace_header",
    ),
    (f"{_SFN}.backend.execution", "Execution.stop"): ("self", "stop_date", "error", "cause"),
    (
        f"{_SFN}.backend.execution",
        "BaseExecutionWorkerCommunication._reflect_execution_status",
    ): ("self",),
    (f"{_SFN}.asl.eval.callback.callback", "CallbackEndpoint.interrupt_all"): ("self",),
    (f"{_MAP}.iteration_worker", "IterationWorker._eval_pool"): ("self", "job", "worker_frame"),
    (
        f"{_MAP}.itemprocessor.distributed_item_processor_worker",
        "DistributedItemProcessorWorker._eval_pool",
    ): ("self", "job", "worker_frame"),
    (f"{_TASK}.service.state_task_service_callback", "StateTaskServiceCallback._from_error"): (
        "self",
        "env",
        "ex",
    ),
}


def moto_module(name: str) -> Any:
    """A module of moto's by its name below moto, without its types: repairs assign to what those
    call final."""
    return importlib.import_module(f"moto.{name}")


def check_moto() -> None:
    """Refuse to run on a moto that differs from the one the repairs were written for.

    Raises EmulatorMismatchError naming the version or every symbol that is not as expected.
    """
    found = version("moto")
    if found != MOTO_VERSION:
        msg = (
            f"the embedded stack needs moto {MOTO_VERSION} exactly, found {found}; "
            f"install it with: pip install 'moto=={MOTO_VERSION}'"
        )
        raise EmulatorMismatchError(msg)
    wrong = [text for symbol, names in SYMBOLS.items() if (text := _difference(symbol, names))]
    if wrong:
        msg = "this moto is not the one that was tested:\n  " + "\n  ".join(wrong)
        raise EmulatorMismatchError(msg)


def _difference(symbol: tuple[str, str], names: tuple[str, ...] | None) -> str | None:
    module, name = symbol
    try:
        found = attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError):
        return f"{module}.{name} is missing"
    if names is None:
        return None
    parameters = tuple(inspect.signature(found).parameters)
    if parameters == names:
        return None
    return f"{module}.{name} takes ({', '.join(parameters)}), not ({', '.join(names)})"

"""Spans, read by the classes of OpenTelemetry's protocol, and their names held against its semantic conventions."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from backends.registry import own_names
from harness.commands.main import main
from harness.exports.otel import SCHEMA_URL
from tests.support.collector import collector

service: Any = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
json_format: Any = pytest.importorskip("google.protobuf.json_format")
gen_ai: Any = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
schemas: Any = pytest.importorskip("opentelemetry.semconv.schemas")


def read(request: bytes) -> Any:
    """Return a request as a message of protobuf. OTLP writes ids in hexadecimal, where protobuf expects base64."""

    def based(found: re.Match[str]) -> str:
        return f'"{found[1]}":"{base64.b64encode(bytes.fromhex(found[2])).decode()}"'

    text = re.sub(r'"(traceId|spanId|parentSpanId)":"([0-9a-f]+)"', based, request.decode())
    return json_format.Parse(text, service.ExportTraceServiceRequest())


def spans(requests: list[bytes]) -> list[Any]:
    messages = [read(request) for request in requests]
    return [span for one in messages for of in one.resource_spans for scope in of.scope_spans for span in scope.spans]


@pytest.fixture
def lines(exported: Path) -> list[bytes]:
    return (exported / "spans.jsonl").read_bytes().splitlines()


def test_every_line_is_a_request_without_unknown_fields(lines: list[bytes]) -> None:
    found = spans(lines)
    assert len({span.trace_id for span in found}) == 2 * len(own_names()) + 7, "two for each backend, and Claude Code's"
    assert {len(span.trace_id) for span in found} == {16}
    assert {len(span.span_id) for span in found} == {8}
    ids = {span.span_id for span in found}
    assert all(span.parent_span_id in ids for span in found if span.parent_span_id)
    assert {scope.schema_url for one in lines for of in read(one).resource_spans for scope in of.scope_spans} == {
        SCHEMA_URL
    }


def test_the_names_of_attributes_are_those_of_the_conventions(lines: list[bytes]) -> None:
    known = {value for name, value in vars(gen_ai).items() if name.isupper()}
    found = spans(lines)
    used = {one.key for span in found for part in (span, *span.events) for one in part.attributes}
    ours = {name for name in used if name.startswith("proctor.")}
    assert {"gen_ai.usage.input_tokens", "gen_ai.tool.call.result", "gen_ai.evaluation.score.value"} <= used
    assert used - ours - {"error.type"} <= known
    assert SCHEMA_URL in {schema.value for schema in schemas.Schemas}
    operations = {
        one.value.string_value for span in found for one in span.attributes if one.key == gen_ai.GEN_AI_OPERATION_NAME
    }
    assert operations == {"invoke_agent", "chat", "execute_tool"}
    assert operations <= {one.value for one in gen_ai.GenAiOperationNameValues}


def test_messages_have_parts(lines: list[bytes]) -> None:
    texts = [
        one.value.string_value for span in spans(lines) for one in span.attributes if one.key.endswith("_messages")
    ]
    texts += [
        one.value.string_value for span in spans(lines) for one in span.attributes if one.key.endswith(".messages")
    ]
    parts = [part for text in texts for message in json.loads(text) for part in message["parts"]]
    assert {part["type"] for part in parts} == {"text", "tool_call"}


def test_a_service_gets_the_same_messages(run: Path, lines: list[bytes]) -> None:
    with collector() as one:
        assert main(["export", str(run), "--otlp", one.address]) == 0
    assert spans([request.body for request in one.requests]) == spans(lines)

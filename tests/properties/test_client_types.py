"""What the official clients' own types allow, the wires read: a request is refused for a reason, never by accident."""

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gateway.allowlist import NotAllowed, allow_list
from harness.gateway.messages import ModelRequest, OfferedTool, WireError
from harness.gateway.routes import Route, wire_of
from harness.gateway.wires.base import Wire
from tests.support.typed_requests import Maker, type_of, without_nulls

PATHS = {
    "anthropic_messages": "/v1/messages",
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "google_generate": "/v1beta/models/demo:generateContent",
}
WIRES = pytest.mark.parametrize("wire", [wire_of(name) for name in PATHS], ids=lambda wire: wire.NAME)
SEEDS = st.integers(0, 2**32)
FEW = settings(max_examples=60)


def typed(wire: Wire, seed: int) -> Any:
    return Maker(type_of(wire.NAME), Random(seed)).request()  # noqa: S311 (no secret depends on it)


def read(wire: Wire, body: Any) -> ModelRequest | str:
    """Return what the wire reads, or why it refuses."""
    try:
        return wire.parse(json.dumps(body).encode(), PATHS[wire.NAME])
    except WireError as error:
        return str(error)


def listed(wire: Wire, body: Any) -> str | None:
    """Return what of the body is not listed as something that may go to the service."""
    try:
        sent = Route(wire).body(json.dumps(body).encode())
        allow_list(wire.NAME).check(PATHS[wire.NAME], "", "demo", sent)
    except (NotAllowed, WireError) as error:
        return str(error)
    return None


@WIRES
@FEW
@given(seed=SEEDS)
def test_a_request_that_the_types_allow_is_read_or_refused_for_a_reason(wire: Wire, seed: int) -> None:
    body = typed(wire, seed)
    found = read(wire, body)
    assert isinstance(found, ModelRequest) or "is not valid" not in found, body


@WIRES
@FEW
@given(seed=SEEDS)
def test_a_null_says_no_more_than_a_field_that_is_not_there(wire: Wire, seed: int) -> None:
    body = typed(wire, seed)
    bare = without_nulls(body)
    assert schemaless(read(wire, body)) == schemaless(read(wire, bare)), body
    assert listed(wire, body) == listed(wire, bare), body


def schemaless(found: ModelRequest | str) -> Any:
    """Return what was read without schemas, in which a null may be a value."""
    if isinstance(found, str):
        return found
    tools = tuple(OfferedTool(tool.name) for tool in found.tools)
    form = msgspec.structs.replace(found.wanted, schema={})
    return msgspec.structs.replace(found, tools=tools, wanted=form)


@WIRES
def test_the_requests_are_various(wire: Wire) -> None:
    bodies = [typed(wire, seed) for seed in range(40)]
    read_whole = [found for found in (read(wire, body) for body in bodies) if isinstance(found, ModelRequest)]
    assert len({json.dumps(body) for body in bodies}) > 20
    assert len(read_whole) > 3
    assert any(body != without_nulls(body) for body in bodies)

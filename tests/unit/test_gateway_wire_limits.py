"""How long an answer may be, and how many answers a request asks for, on each wire."""

import json
from typing import Any

import pytest
from hypothesis import given

from harness.gateway.messages import ModelRequest
from harness.gateway.wires.base import MAX_STATED, Wire
from tests.unit.test_gateway_wires import ANTHROPIC, FEW, GOOGLE, OPENAI, PATH, RESPONSES, WIRES, json_values

SPELLINGS = {
    ANTHROPIC.NAME: ["max_tokens"],
    OPENAI.NAME: ["max_completion_tokens", "max_tokens", "n"],
    RESPONSES.NAME: ["max_output_tokens"],
    GOOGLE.NAME: ["max_output_tokens", "candidateCount"],
}


def parsed(wire: Wire, **more: Any) -> ModelRequest:
    body = {"model": "m", "messages": [], "input": [], "contents": []}
    return wire.parse(json.dumps(body | more).encode(), PATH)


@pytest.mark.parametrize(
    ("wire", "body", "max_output", "answers"),
    [
        (ANTHROPIC, {}, None, 1),
        (ANTHROPIC, {"max_tokens": 64}, 64, 1),
        (OPENAI, {}, None, 1),
        (OPENAI, {"max_tokens": 64}, 64, 1),
        (OPENAI, {"max_completion_tokens": 64}, 64, 1),
        (OPENAI, {"max_tokens": 32, "max_completion_tokens": 64}, 64, 1),
        (OPENAI, {"n": 128, "max_tokens": 64}, 64, 128),
        (RESPONSES, {}, None, 1),
        (RESPONSES, {"max_output_tokens": 64}, 64, 1),
        (GOOGLE, {}, None, 1),
        (GOOGLE, {"generationConfig": {"maxOutputTokens": 64, "candidateCount": 8}}, 64, 8),
        (GOOGLE, {"generation_config": {"max_output_tokens": 64, "candidate_count": 8}}, 64, 8),
        (GOOGLE, {"generation_config": {"maxOutputTokens": 99}}, 99, 1),
        (GOOGLE, {"generationConfig": {"maxOutputTokens": "64"}}, 64, 1),
    ],
)
def test_the_limits_of_a_request_are_read(
    wire: Wire, body: dict[str, Any], max_output: int | None, answers: int
) -> None:
    request = parsed(wire, **body)
    assert (request.max_output, request.answers) == (max_output, answers)


@WIRES
@pytest.mark.parametrize("junk", [None, 0, -1, 0.5, "many", "", [], {}, [64], "nan"])
def test_an_invalid_limit_means_no_limit(wire: Wire, junk: Any) -> None:
    config = dict.fromkeys(SPELLINGS[wire.NAME], junk)
    request = parsed(wire, **config, generationConfig=config)
    assert (request.max_output, request.answers) == (None, 1)
    assert parsed(wire, generationConfig=junk).max_output is None


@WIRES
@pytest.mark.parametrize("huge", [10**30, 1e300, "9" * 400, "inf"])
def test_an_absurd_limit_counts_as_the_largest(wire: Wire, huge: Any) -> None:
    config = dict.fromkeys(SPELLINGS[wire.NAME], huge)
    assert parsed(wire, **config, generationConfig=config).max_output == MAX_STATED


@WIRES
@FEW
@given(value=json_values)
def test_no_value_of_a_limit_makes_the_gateway_fail(wire: Wire, value: Any) -> None:
    config = dict.fromkeys(SPELLINGS[wire.NAME], value)
    request = parsed(wire, **config, generationConfig=config)
    assert request.max_output is None or 1 <= request.max_output <= MAX_STATED
    assert 1 <= request.answers <= MAX_STATED

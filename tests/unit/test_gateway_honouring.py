"""What a request asks of its answer is honoured by the scripted model, or the script's turn is refused by name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.gateway.honouring import example
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, Session, address, conversation, text_of
from tests.support.scripted_gateway import PATHS, STREAMED, Opener, scripted_gateway

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}, "why": {"type": "string"}},
    "required": ["answer"],
}
VALUE = {"answer": 42, "why": "wörtlich"}


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Opener]:
    with scripted_gateway(tmp_path) as opener:
        yield opener


def form(path: str) -> dict[str, Any]:
    """Return the fields by which a request of this wire asks for JSON."""
    named = {"type": "json_schema", "name": "a", "schema": SCHEMA}
    forms: dict[str, dict[str, Any]] = {
        CHAT: {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
        RESPONSES: {"text": {"format": named}},
        MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        GOOGLE: {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
    }
    return forms[path]


def choice(path: str, mode: str, tool: str | None = None) -> dict[str, Any]:
    """Return the fields by which a request of this wire wants no call (`none`), any call (`any`), or one of a tool."""
    if path == GOOGLE:
        names = {"allowedFunctionNames": [tool]} if tool else {}
        return {"toolConfig": {"functionCallingConfig": {"mode": mode.upper(), **names}}}
    if path == MESSAGES:
        return {"tool_choice": {"type": "tool", "name": tool} if tool else {"type": mode}}
    named: dict[str, Any] = {"name": tool} if path == RESPONSES else {"function": {"name": tool}}
    return {"tool_choice": {"type": "function", **named} if tool else {"none": "none", "any": "required"}[mode]}


def tools(path: str, **schemas: Any) -> dict[str, Any]:
    """Return the fields by which a request of this wire offers tools."""
    if path == GOOGLE:
        return {"tools": [{"functionDeclarations": [{"name": n, "parameters": s} for n, s in schemas.items()]}]}
    if path == MESSAGES:
        return {"tools": [{"name": name, "input_schema": schema} for name, schema in schemas.items()]}
    if path == RESPONSES:
        return {"tools": [{"type": "function", "name": n, "parameters": s} for n, s in schemas.items()]}
    functions = [{"name": name, "parameters": schema} for name, schema in schemas.items()]
    return {"tools": [{"type": "function", "function": function} for function in functions]}


def offering(session: Session, path: str, fields: dict[str, Any]) -> Any:
    """Ask for an answer, with these fields in the place of the usual tools."""
    body = conversation(path, 0, stream=False) | fields
    return session.client.post(address(path, stream=False), json=body)


def refusal(session: Session, path: str, **more: Any) -> str:
    answer = offering(session, path, more)
    assert answer.status_code == 400
    return str(answer.json()["error"]["message"])


@PATHS
@STREAMED
def test_a_request_for_json_gets_the_json_of_the_script(open_session: Opener, path: str, stream: bool) -> None:
    session = open_session(f"[{{json: {json.dumps(VALUE)}}}]")
    assert json.loads(text_of(session.ask(path, stream=stream, **form(path)))) == VALUE
    assert json.loads(text_of(session.ask(path, stream=stream))) == VALUE, "a model may answer in JSON unasked"


@PATHS
def test_a_request_for_json_gets_no_other_text(open_session: Opener, path: str) -> None:
    session = open_session("[{text: Two.}, {text: '[2]'}]")
    said = refusal(session, path, **form(path))
    assert "the script's turn ('Two.') is no JSON" in said
    assert "give the turn `json:`" in said
    assert text_of(session.ask(path, 1, **form(path))) == "[2]"


@PATHS
@pytest.mark.parametrize("named", [True, False])
def test_json_becomes_the_arguments_of_a_tool_that_must_be_called(open_session: Opener, path: str, named: bool) -> None:
    session = open_session(f"[{{json: {json.dumps(VALUE)}}}]")
    offered = tools(path, verdict=SCHEMA, bash={"type": "object", "properties": {"command": {}}})
    answer = offering(session, path, offered | choice(path, "any", "verdict" if named else None))
    assert answer.status_code == 200
    assert session.ledger()[0]["tools_called"] == ["verdict"]


@PATHS
@pytest.mark.parametrize(
    ("script", "schemas", "fault"),
    [
        ("[{json: {other: 1}}]", {"verdict": SCHEMA}, "fits none of the tools that the request wants called: verdict"),
        ("[{json: {answer: 1}}]", {"verdict": SCHEMA, "b": SCHEMA}, "fits several of the tools"),
        ("[{json: 5}]", {"verdict": SCHEMA}, "is no object"),
        ("[{text: Two.}]", {"verdict": SCHEMA}, "calls no tool, but the request wants a call of one"),
    ],
)
def test_a_turn_that_is_no_call_is_refused_where_a_call_is_wanted(
    open_session: Opener, path: str, script: str, schemas: dict[str, Any], fault: str
) -> None:
    assert fault in refusal(open_session(script), path, **tools(path, **schemas), **choice(path, "any"))


@PATHS
def test_a_call_is_refused_where_another_is_wanted(open_session: Opener, path: str) -> None:
    session = open_session("[{calls: [{run: ls}]}]")
    said = refusal(session, path, **choice(path, "any", "other"))
    assert "calls bash, but the request wants a call of other" in said
    assert session.ask(path, **choice(path, "any", "bash")).status_code == 200


@PATHS
@STREAMED
def test_an_answer_is_cut_at_the_limit_that_the_request_states(open_session: Opener, path: str, stream: bool) -> None:
    limits = {CHAT: "max_tokens", RESPONSES: "max_output_tokens", MESSAGES: "max_tokens"}
    limit = {limits[path]: 5} if path in limits else {"generationConfig": {"maxOutputTokens": 5}}
    session = open_session(f"[{{text: {'ü' * 50}, calls: [{{run: ls}}]}}]")
    assert text_of(session.ask(path, stream=stream, **limit)) == "ü" * 10
    [line] = session.ledger()
    assert line["usage"]["output_tokens"] == 5
    assert line["tools_called"] == []
    assert line["stop_reason"] in {"length", "max_tokens", "max_output_tokens", "MAX_TOKENS"}


@PATHS
def test_a_scripted_usage_is_kept_whatever_the_limit(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a long enough text, usage: {output_tokens: 900}}]")
    limit = {"generationConfig": {"maxOutputTokens": 2}} if path == GOOGLE else {"max_tokens": 2}
    if path == RESPONSES:
        limit = {"max_output_tokens": 2}
    assert text_of(session.ask(path, **limit)) == "a long enough text"


@PATHS
def test_several_answers_are_refused_by_name(open_session: Opener, path: str) -> None:
    several = {"generationConfig": {"candidateCount": 2}} if path == GOOGLE else {"n": 2}
    assert "asks for 2 answers" in refusal(open_session(), path, **several)


@PATHS
def test_a_title_that_must_be_json_is_json(open_session: Opener, path: str) -> None:
    answer = open_session().ask(path, tools=False, **form(path))
    assert json.loads(text_of(answer)) == {"answer": 0}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "OBJECT", "properties": {"title": {"type": "STRING"}}}, {"title": "a"}),
        ({"type": ["string", "null"]}, "a"),
        ({"enum": ["x", "y"]}, "x"),
        ({"const": None}, None),
        ({"type": "array", "items": {}}, []),
        ({}, "a"),
    ],
)
def test_an_example_fits_its_schema(schema: dict[str, Any], value: Any) -> None:
    assert example(schema, "a") == value


def test_json_is_the_whole_answer(open_session: Opener) -> None:
    with pytest.raises(Exception, match="does not go with text or calls"):
        open_session("[{json: 1, text: a}]")

"""A client of each wire with a model of each other: what reaches the model, what comes back, and what is metered."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from harness.gateway.messages import TokenCounts
from harness.gateway.routes import wire_of
from tests.translation.conftest import PAIRS, Opened, Pair
from tests.translation.conversations import Called, Talk, Turn, expected, heard, said, written

pytestmark = pytest.mark.translate

TALK = Talk(
    "You are an agent. Grüße!",
    "Solve the maze.",
    (
        Turn(
            "I look around 😀.",
            (
                Called("call_1", "bash", {"command": "ls"}, "approach.py", pictured=True),
                Called("call_2", "bash", {"command": 'echo "ά\\n"'}, "ά"),
            ),
        ),
    ),
)
NEW = Talk("You are an agent.", "Solve the maze.")
USAGE = TokenCounts(input_tokens=700, output_tokens=20, cache_read_tokens=300)
SCRIPT = (
    '[{text: "Grüße\\u2028😀, and more than one piece of text, because it is longer than sixty-four characters.", '
    "calls: [{run: echo a}, {run: echo b}], usage: {input_tokens: 700, output_tokens: 20, cache_read_tokens: 300}}, "
    "{text: last}]"
)
TEXT = "Grüße\u2028😀, and more than one piece of text, because it is longer than sixty-four characters."

pairs = pytest.mark.parametrize(("wire", "spoken"), PAIRS)


@pairs
def test_a_conversation_reaches_the_model_whole(opened: Opened, wire: str, spoken: str) -> None:
    pair = opened(wire, spoken)
    response = pair.post(written(wire, TALK))
    assert response.status_code == 200, response.text
    assert heard(spoken, pair.sent) == expected(TALK)
    assert pair.asked == 1


@pairs
def test_an_answer_comes_back_whole_with_the_usage_that_the_ledger_has(opened: Opened, wire: str, spoken: str) -> None:
    pair = opened(wire, spoken, SCRIPT)
    response = pair.post(written(wire, NEW))
    outcome = pair.outcome(response)
    assert said(wire, response.content).text == TEXT
    assert [arguments for _, _, arguments in said(wire, response.content).calls] == [
        json.dumps({"command": f"echo {letter}"}) for letter in "ab"
    ]
    assert (outcome.complete, outcome.error, outcome.tools_called) == (True, None, ("bash", "bash"))
    assert outcome.usage == USAGE
    assert _metered(pair) == USAGE
    [line] = pair.session.ledger()
    assert (line["wire"], line["note"], line["error"]) == (wire, f"translated to {spoken}", None)
    assert line["tools_called"] == ["bash", "bash"]


@pairs
def test_an_answer_without_streaming_comes_back_whole(opened: Opened, wire: str, spoken: str) -> None:
    pair = opened(wire, spoken, SCRIPT)
    response = pair.post(written(wire, NEW, stream=False), stream=False)
    assert response.headers["content-type"] == "application/json"
    outcome = pair.outcome(response, stream=False)
    assert (outcome.complete, outcome.tools_called, outcome.usage) == (True, ("bash", "bash"), USAGE)
    assert TEXT in json.dumps(response.json(), ensure_ascii=False).replace("\\u2028", "\u2028")
    assert _metered(pair) == USAGE


def _metered(pair: Pair) -> TokenCounts:
    totals = pair.session.account.metered()
    assert totals.turns == 1
    return TokenCounts(
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cache_read_tokens=totals.cache_read_tokens,
    )


STOPS = {
    "openai_chat": ("stop", "length"),
    "openai_responses": ("completed", "max_output_tokens"),
    "anthropic_messages": ("end_turn", "max_tokens"),
    "google_generate": ("STOP", "MAX_TOKENS"),
}


@pairs
@pytest.mark.parametrize("cut", [False, True])
def test_the_reason_to_stop_comes_in_the_words_of_the_clients_wire(
    opened: Opened, wire: str, spoken: str, *, cut: bool
) -> None:
    pair = opened(wire, spoken, f"[{{text: as far as it goes, truncated: {str(cut).lower()}}}]")
    outcome = pair.outcome(pair.post(written(wire, NEW)))
    assert outcome.stop_reason == STOPS[wire][cut]


def without_id(error: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an error without the id of its request, which Anthropic's wire has."""
    return {name: value for name, value in error.items() if name != "request_id"}


@pairs
@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
def test_an_error_keeps_its_status_its_message_and_the_time_to_wait(
    opened: Opened, wire: str, spoken: str, status: int
) -> None:
    pair = opened(wire, spoken, f"[{{fail: {{status: {status}, message: not now, retry_after: 7}}}}]")
    response = pair.post(written(wire, NEW))
    assert response.status_code == status
    assert without_id(response.json()) == without_id(wire_of(wire).error(status, "not now"))
    assert response.headers["retry-after"] == "7"
    [line] = pair.session.ledger()
    assert (line["status"], line["retry_after_s"], "not now" in line["error"]) == (status, 7.0, True)


@pairs
def test_an_answer_that_breaks_off_breaks_off_for_the_client_too(opened: Opened, wire: str, spoken: str) -> None:
    long = "this is never seen to its end " * 10
    pair = opened(wire, spoken, f"[{{text: {long}, fail: {{cut_after: 5}}}}]")
    with pytest.raises(httpx2.HTTPError):
        pair.post(written(wire, NEW))
    [line] = pair.session.ledger()
    assert "the script cuts the answer off here" in line["error"]
    assert line["charged"] or line["usage"]


@pairs
@pytest.mark.parametrize("fail", ["malformed: true", "html: true"])
def test_a_malformed_answer_is_an_error_and_no_turn(opened: Opened, wire: str, spoken: str, fail: str) -> None:
    pair = opened(wire, spoken, f"[{{text: a, fail: {{{fail}}}}}]")
    response = pair.post(written(wire, NEW))
    assert not pair.outcome(response).complete
    assert pair.session.account.metered().turns == 0
    [line] = pair.session.ledger()
    assert line["error"]


@pairs
def test_the_models_own_broken_arguments_do_not_end_the_conversation(opened: Opened, wire: str, spoken: str) -> None:
    pair = opened(wire, spoken)
    body = json.dumps(written(wire, TALK))
    broken = json.dumps({"command": "ls"})[:-3]
    response = pair.post(json.loads(body.replace(json.dumps(json.dumps({"command": "ls"})), json.dumps(broken))))
    assert response.status_code == 200, response.text
    assert json.dumps(pair.sent).count("call_1") == 2, "the call and its result"


@pairs
def test_a_tool_that_the_service_itself_would_run_is_refused(opened: Opened, wire: str, spoken: str) -> None:
    hosted: dict[str, dict[str, Any]] = {
        "openai_chat": {"web_search_options": {}},
        "openai_responses": {"tools": [{"type": "web_search"}]},
        "anthropic_messages": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "google_generate": {"tools": [{"googleSearch": {}}]},
    }
    pair = opened(wire, spoken)
    response = pair.post({**written(wire, NEW), **hosted[wire]})
    assert (response.status_code, pair.asked) == (400, 0)


@pairs
def test_tokens_are_estimated_where_the_services_own_count_is_of_another_wire(
    opened: Opened, wire: str, spoken: str
) -> None:
    if wire != "anthropic_messages":
        return
    pair = opened(wire, spoken)
    counted = pair.session.client.post("/v1/messages/count_tokens", json=written(wire, TALK))
    assert counted.json()["input_tokens"] > 100

"""The gateway over real loopback HTTP at its limits: turns, side requests, parallel requests, and retries."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness.agent.retry import remaining
from harness.agent.watchdog import Snapshot, spent
from harness.case import Limits
from harness.endings import Ending
from harness.gateway.account_app import MAX_OPEN
from harness.gateway.budget import Budget, side_limit
from tests.support.gateway_client import (
    CHAT,
    GOOGLE,
    MESSAGES,
    RESPONSES,
    Forwarder,
    Session,
    conversation,
    eventually,
    text_of,
)
from tests.support.scripted_gateway import PATHS, STREAMED, Opener, scripted_gateway


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Opener]:
    with scripted_gateway(tmp_path) as opener:
        yield opener


@PATHS
@STREAMED
def test_a_request_beyond_the_turn_limit_never_reaches_the_model(open_session: Opener, path: str, stream: bool) -> None:
    session = open_session("[{text: a}]", turns=1)
    assert session.ask(path, 0, stream=stream).status_code == 200
    assert session.account.passed is None
    refusal = session.ask(path, 1, stream=stream)
    assert refusal.status_code == 400
    assert "turn_limit" in refusal.json()["error"]["message"]
    assert session.account.passed == "turn_limit"
    assert (session.account.metered().turns, session.account.metered().requests) == (1, 2)
    assert [line["refused"] for line in session.ledger()] == [None, "turn_limit"]


@PATHS
def test_side_requests_use_neither_turns_nor_the_script(open_session: Opener, path: str) -> None:
    session = open_session("[{text: first}]", turns=1)
    for _ in range(3):
        assert session.ask(path, tools=False).status_code == 200
    assert text_of(session.ask(path)) == "first"
    metered = session.account.metered()
    assert (metered.turns, metered.requests, metered.side_requests) == (1, 4, 3)
    assert session.account.passed is None


def test_side_requests_are_limited_too(open_session: Opener) -> None:
    session = open_session("[{text: first}]", turns=1)
    codes = [session.ask(MESSAGES, tools=False).status_code for _ in range(side_limit(1) + 1)]
    assert codes == [200] * side_limit(1) + [400]
    assert session.account.passed == "turn_limit"
    stop = spent(Limits(turns=1), session.account, Snapshot(now=1, began=0, last_output=0))
    assert stop == (Ending.TURN_LIMIT, "this case has used all 24 requests without tools that limits.turns=1 allows")


@PATHS
def test_parallel_requests_are_counted_exactly(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a, delay_s: 0.05}]", turns=5)
    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda _: session.ask(path).status_code, range(12)))
    assert sorted(codes) == [200] * 5 + [400] * 7
    assert session.account.metered().turns == 5
    eventually(lambda: session.account.ledger.open_requests == 0)


def answering(*, input_tokens: int = 9, output_tokens: int = 1) -> Forwarder:
    """Return a model that begins each answer at once, and ends it when the test lets it."""
    usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage}
    return Forwarder([b": comment\n\n"], [f"data: {json.dumps(end)}\n\n".encode(), b"data: [DONE]\n\n"])


def begun(session: Session) -> int:
    return sum(one.begun for one in session.account.waiting)


def test_a_number_of_requests_are_answered_in_parallel_and_the_others_wait(open_session: Opener) -> None:
    provider = answering()
    session = open_session(provider=provider)
    with ThreadPoolExecutor(MAX_OPEN + 4) as pool:
        asked = [pool.submit(session.ask, CHAT) for _ in range(MAX_OPEN + 4)]
        eventually(lambda: session.account.metered().requests == MAX_OPEN + 4)
        eventually(lambda: begun(session) == MAX_OPEN)
        assert len(session.account.waiting) == MAX_OPEN
        provider.go_on.set()
        assert {one.result(10).status_code for one in asked} == {200}


def test_a_waiting_request_may_go_away_and_uses_no_turn(open_session: Opener) -> None:
    provider = answering()
    session = open_session(turns=MAX_OPEN + 1, provider=provider)
    with ThreadPoolExecutor(MAX_OPEN) as pool:
        asked = [pool.submit(session.ask, CHAT) for _ in range(MAX_OPEN)]
        eventually(lambda: len(session.account.waiting) == MAX_OPEN)
        with pytest.raises(httpx2.ReadTimeout):
            session.client.post(CHAT, json=conversation(CHAT, 0, stream=True), timeout=0.3)
        eventually(lambda: session.account.ledger.open_requests == MAX_OPEN)
        provider.go_on.set()
        assert {one.result(10).status_code for one in asked} == {200}
    assert [session.ask(CHAT).status_code for _ in range(2)] == [200, 400]


def test_parallel_requests_exceed_a_limit_by_at_most_one_answer(open_session: Opener) -> None:
    """The requests do not limit their answers, so each answer may fill the context."""
    provider = answering()
    session = open_session(budget=Budget(tokens=15), provider=provider)
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(session.ask, CHAT) for _ in range(12)]
        eventually(lambda: session.account.metered().requests == 12)
        eventually(lambda: begun(session) == 1)
        assert len(session.account.waiting) == 1
        assert session.account.passed is None
        provider.go_on.set()
        codes = sorted(one.result(10).status_code for one in asked)
    assert codes == [200] * 2 + [400] * 10
    assert session.account.passed == "token_limit"
    assert session.account.budget.used.tokens == 20


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (CHAT, {"max_tokens": 384}),
        (MESSAGES, {"max_tokens": 384}),
        (RESPONSES, {"max_output_tokens": 384}),
        (GOOGLE, {"generationConfig": {"maxOutputTokens": 384}}),
    ],
)
def test_requests_are_answered_in_parallel_while_their_longest_answers_fit_into_the_limit(
    open_session: Opener, path: str, allowed: dict[str, Any]
) -> None:
    session = open_session("[{text: a, fail: {hang_after: 1}}]", budget=Budget(tokens=1200))
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(session.ask, path, **allowed) for _ in range(3)]
        eventually(lambda: session.account.metered().requests == 3)
        eventually(lambda: begun(session) == 2)
        assert len(session.account.waiting) == 2
        session.account.close()
        assert all(one.exception(10) for one in asked)


def test_a_request_waits_for_a_turn_that_an_open_request_may_give_back(open_session: Opener) -> None:
    provider = Forwarder([b'data: {"choices": []}\n\n'], [], OSError("reset"))
    session = open_session(turns=1, provider=provider)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(session.ask, CHAT) for _ in range(2)]
        eventually(lambda: session.account.metered().requests == 2)
        assert len(session.account.waiting) == 1
        provider.go_on.set()
        assert [type(one.exception(10)) for one in asked] == [httpx2.RemoteProtocolError] * 2, "both were answered"
    assert session.account.passed is None


# Several sessions of one case


def test_an_abandoned_answer_also_counts_in_the_next_attempt(
    open_session: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never ends, so it is charged what it may have used."""
    monkeypatch.setattr("harness.gateway.account_app.DRAIN_S", 0.05)
    budget = Budget(3, tokens=10_000)
    first = open_session("[{text: a, fail: {hang_after: 1}}]", budget=budget)
    with first.client.stream("POST", CHAT, json=conversation(CHAT, 0, stream=True) | {"max_tokens": 500}) as answer:
        next(answer.iter_raw())
    eventually(lambda: first.account.ledger.open_requests == 0)
    [line] = first.ledger()
    assert line["usage"] is None
    charged = line["charged"]["input_tokens"], line["charged"]["output_tokens"]
    assert charged == (line["request_bytes"] // 4, 500)
    left = remaining(Limits(turns=3, tokens=10_000), budget, elapsed_s=0)
    assert (left.turns, left.tokens) == (2, 10_000 - sum(charged))
    second = open_session(budget=budget)
    assert [second.ask(CHAT).status_code for _ in range(3)] == [200, 200, 400]


def test_a_broken_answer_is_charged_what_it_reported_and_uses_no_turn(open_session: Opener) -> None:
    budget = Budget(1)
    first = open_session(
        "[{text: a, usage: {input_tokens: 70, output_tokens: 5}, fail: {cut_after: 1}}]", budget=budget
    )
    with pytest.raises(httpx2.RemoteProtocolError):
        first.ask(MESSAGES)
    eventually(lambda: budget.used.tokens > 0)
    assert (budget.used.turns, budget.used.tokens) == (0, 71)
    assert open_session(budget=budget).ask(MESSAGES).status_code == 200


def test_side_requests_of_one_attempt_count_in_the_next(open_session: Opener) -> None:
    budget = Budget(1)
    first, second = open_session(budget=budget), open_session(budget=budget)
    assert {first.ask(CHAT, tools=False).status_code for _ in range(side_limit(1) - 1)} == {200}
    assert [second.ask(CHAT, tools=False).status_code for _ in range(2)] == [200, 400]
    assert second.ask(CHAT).status_code == 200, "they use no turn"


def test_the_end_of_a_session_does_not_end_the_budget_of_its_case(open_session: Opener) -> None:
    budget = Budget(2)
    stopped, next_one = open_session(budget=budget), open_session(budget=budget)
    stopped.account.end("memory_limit")
    for tools in (True, False):
        refused = stopped.ask(CHAT, tools=tools)
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == "memory_limit: this session is being stopped"
    assert stopped.account.passed is None
    assert [line["refused"] for line in stopped.ledger()] == ["memory_limit"] * 2
    assert next_one.ask(CHAT).status_code == 200


def test_a_session_that_ends_refuses_its_waiting_request(open_session: Opener) -> None:
    provider = answering()
    session = open_session(turns=1, provider=provider)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(session.ask, CHAT) for _ in range(2)]
        eventually(lambda: session.account.metered().requests == 2)
        session.account.end("wall_limit")
        provider.go_on.set()
        assert sorted(one.result(10).status_code for one in asked) == [200, 400]
    assert session.account.budget.used.turns == 1


def test_the_ledger_has_the_limit_of_an_answers_length(open_session: Opener) -> None:
    session = open_session()
    session.ask(CHAT, max_tokens=1000)
    session.ask(CHAT)
    assert [line["max_output"] for line in session.ledger()] == [1000, None]
    assert {line["charged"] for line in session.ledger()} == {None}

"""Ways to use a model without being counted. Each is tried on every wire, and on both kinds of gateway."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from harness.gateway.budget import COUNT_LIMIT, Budget, count_limit, side_limit
from tests.support.forwarding import PATHS, STREAMED, Bench, bench, metered
from tests.support.gateway_client import (
    CHAT,
    GOOGLE,
    MESSAGES,
    RESPONSES,
    Forwarder,
    Session,
    address,
    conversation,
    eventually,
)
from tests.support.scripted_gateway import Opener, scripted_gateway
from tests.support.stand_in_upstream import Upstream

KINDS = pytest.mark.parametrize("tools", [True, False], ids=["turn", "side"])
COUNTING = pytest.mark.parametrize(
    ("path", "where"), [(MESSAGES, f"{MESSAGES}/count_tokens"), (GOOGLE, f"{GOOGLE}/demo:countTokens")]
)


@pytest.fixture(scope="module")
def forwarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("bench")) as both:
        yield both


@pytest.fixture(scope="module")
def upstream(forwarded: Bench) -> Upstream:
    return forwarded.upstream


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    with scripted_gateway(tmp_path_factory.mktemp("scripted")) as opener:
        yield opener


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.gateway.account_app.DRAIN_S", 0.05)


def leave(session: Session, path: str, *, stream: bool = True, tools: bool = True, **more: Any) -> None:
    """Ask, and leave before the first byte of the answer."""
    body = conversation(path, 0, stream=stream, tools=tools) | more
    before = session.account.metered().requests
    with pytest.raises(httpx2.ReadTimeout):
        session.client.post(address(path, stream=stream), json=body, timeout=0.15)
    assert session.account.metered().requests == before + 1
    eventually(lambda: session.account.ledger.open_requests == 0)


# Leaving before the answer


@PATHS
@STREAMED
@pytest.mark.usefixtures("impatient")
def test_a_forwarded_request_whose_client_leaves_before_the_first_byte_uses_its_turn(
    forwarded: Bench, upstream: Upstream, path: str, stream: bool
) -> None:
    session = forwarded.open(budget=Budget(2))
    with upstream.behaving(hold_headers=True):
        for _ in range(2):
            leave(session, path, stream=stream)
        assert session.ask(path, stream=stream).status_code == 400
        assert session.account.passed == "turn_limit"
        assert len(upstream.requests) == 2
        eventually(lambda: upstream.gone == 2)
    assert session.account.failures == 0
    assert ["went away" in (line["error"] or "") for line in session.ledger()] == [True, True, False]


@PATHS
@pytest.mark.usefixtures("impatient")
def test_a_scripted_request_whose_client_leaves_before_the_first_byte_uses_its_turn(
    scripted: Opener, path: str
) -> None:
    session = scripted("[{text: a, delay_s: 600}]", turns=2)
    for _ in range(2):
        leave(session, path)
    assert session.ask(path).status_code == 400
    assert session.account.passed == "turn_limit"


@PATHS
@KINDS
@pytest.mark.usefixtures("impatient")
def test_a_request_whose_answer_stays_unknown_is_charged_the_most_that_it_may_have_used(
    forwarded: Bench, upstream: Upstream, path: str, tools: bool
) -> None:
    budget = Budget(tokens=100_000)
    session = forwarded.open(budget=budget)
    limits: dict[str, Any] = {"max_tokens": 500}
    if path == GOOGLE:
        limits = {"generationConfig": {"maxOutputTokens": 500}}
    elif path == RESPONSES:
        limits = {"max_output_tokens": 500}
    with upstream.behaving(hold_headers=True):
        leave(session, path, tools=tools, **limits)
    [line] = session.ledger()
    assert line["charged"]["output_tokens"] == 500
    assert line["charged"]["input_tokens"] == line["request_bytes"] // 4
    assert budget.used.tokens == 500 + line["request_bytes"] // 4


@PATHS
@pytest.mark.parametrize(("stream", "tools"), [(True, True), (False, True), (True, False)])
def test_an_answer_whose_client_left_is_read_to_its_end_and_charged_as_it_reports(
    forwarded: Bench, upstream: Upstream, path: str, stream: bool, tools: bool
) -> None:
    budget = Budget(5)
    session = forwarded.open(budget=budget)
    body = conversation(path, 0, stream=stream, tools=tools)
    with upstream.behaving(hold_headers=True):
        with pytest.raises(httpx2.ReadTimeout):
            session.client.post(address(path, stream=stream), json=body, timeout=0.15)
        eventually(lambda: session.account.waiting == [])
        assert session.account.ledger.open_requests == 1
        upstream.open()
        eventually(lambda: session.account.ledger.open_requests == 0)
        assert upstream.gone == 0
    assert (budget.used.turns, budget.used.side_requests) == (int(tools), int(not tools))
    assert session.account.metered().turns == 0, "the CLI never saw it"
    [line] = session.ledger()
    assert line["charged"] is None
    assert budget.used.tokens == line["usage"]["input_tokens"] + line["usage"]["output_tokens"] > 0


@PATHS
@pytest.mark.usefixtures("impatient")
def test_a_client_that_leaves_in_the_middle_of_an_answer_has_used_its_turn(
    forwarded: Bench, upstream: Upstream, path: str
) -> None:
    session = forwarded.open(budget=Budget(1))
    with upstream.behaving(hold_after=2):
        body = conversation(path, 0, stream=True)
        with session.client.stream("POST", address(path, stream=True), json=body) as answer:
            next(answer.iter_raw())
        eventually(lambda: session.account.ledger.open_requests == 0)
        assert session.ask(path).status_code == 400
    totals = session.account.metered()
    assert (totals.turns, totals.broken_turns, session.account.budget.used.turns) == (0, 1, 1)
    assert "went away" in session.ledger()[0]["error"]


@PATHS
@KINDS
def test_killing_the_cli_renews_nothing(scripted: Opener, path: str, tools: bool) -> None:
    """The session closes while its requests are open. The next attempt of the case has what is left."""
    budget = Budget(2)
    first = scripted("[{text: a, fail: {hang_after: 1}}]", budget=budget)
    allowed = 2 if tools else side_limit(2)
    if not tools:  # a scripted side request is answered at once
        assert {first.ask(path, tools=False).status_code for _ in range(allowed)} == {200}
    else:
        with ThreadPoolExecutor(allowed) as pool:
            asked = [pool.submit(first.ask, path) for _ in range(allowed)]
            eventually(lambda: len(first.account.waiting) == allowed)
            first.account.close()
            assert all(one.exception(10) for one in asked)
    assert scripted(budget=budget).ask(path, tools=tools).status_code == 400
    assert budget.passed == "turn_limit"


def _kill(session: Session, path: str, at_once: int) -> None:
    """Close a session in which this many side requests are open."""
    with ThreadPoolExecutor(at_once) as pool:
        asked = [pool.submit(session.ask, path, tools=False) for _ in range(at_once)]
        eventually(lambda: len(session.account.waiting) == at_once)
        session.account.close()
        assert all(one.exception(10) for one in asked)


@PATHS
def test_killing_the_cli_renews_no_side_request(forwarded: Bench, upstream: Upstream, path: str) -> None:
    budget, at_once = Budget(0), 5
    with upstream.behaving(hold_headers=True):
        for attempt in range(side_limit(0) // at_once):
            _kill(forwarded.open(budget=budget), path, at_once)
            assert budget.used.side_requests == at_once * (attempt + 1)
    assert forwarded.open(budget=budget).ask(path, tools=False).status_code == 400


@PATHS
def test_a_session_that_ends_because_its_model_stalls_keeps_the_turn_for_the_next_attempt(
    scripted: Opener, path: str
) -> None:
    budget = Budget(1)
    first = scripted("[{text: a, fail: {hang_after: 1}}]", budget=budget)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(first.ask, path)
        eventually(lambda: any(one.begun for one in first.account.waiting))
        first.account.end("stalled")
        first.account.close()
        assert asked.exception(10)
    assert scripted(budget=budget).ask(path).status_code == 200


# Answers without an end


@PATHS
def test_a_stream_without_its_end_uses_a_turn(forwarded: Bench, upstream: Upstream, path: str) -> None:
    """A CLI may take it for a whole answer. Then the case could go on for ever."""
    budget = Budget(1)
    session = forwarded.open(budget=budget)
    with upstream.behaving():
        forwarded.open().ask(path)
        whole = upstream.sent[0]
    end = b"\r\n\r\n" if path == GOOGLE else b"\n\n"
    begun = end.join(whole.split(end)[:5]) + end
    with upstream.behaving(body=begun, headers={"content-type": "text/event-stream"}):
        assert session.ask(path).content == begun
        assert session.ask(path).status_code == 400
    assert budget.used.turns == 1
    assert metered(session)[0] == 0
    assert "ended before" in session.ledger()[0]["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"choices": [{"message": {"content": "hi"}}]}),
        (MESSAGES, {"content": [{"type": "text", "text": "hi"}]}),
        (RESPONSES, {"output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}]}),
        (GOOGLE, {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]}),
    ],
)
def test_an_answer_that_states_no_end_uses_a_turn(forwarded: Bench, upstream: Upstream, path: str, body: Any) -> None:
    session = forwarded.open(budget=Budget(1))
    with upstream.behaving(body=json.dumps(body).encode(), headers={"content-type": "application/json"}):
        assert session.ask(path, stream=False).status_code == 200
        assert session.ask(path, stream=False).status_code == 400
    assert session.account.budget.used.turns == 1


@PATHS
@STREAMED
def test_an_error_in_an_answer_of_status_200_uses_no_turn(
    forwarded: Bench, upstream: Upstream, path: str, stream: bool
) -> None:
    session = forwarded.open(budget=Budget(1))
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "later"}, "message": "later"}
    body = f"data: {json.dumps(said)}\n\n" if stream else json.dumps(said)
    kind = "text/event-stream" if stream else "application/json"
    with upstream.behaving(body=body.encode(), headers={"content-type": kind}):
        session.ask(path, stream=stream)
    with upstream.behaving():
        assert session.ask(path, stream=stream).status_code == 200


# Requests that ask for more than one answer, or in a form that is not counted

FUNCTION = {"name": "bash", "parameters": {"type": "object"}}
MORE: list[dict[str, Any]] = [
    {"n": 128},
    {"n": "2"},
    {"best_of": 5},
    {"n_cmpl": 5},
    {"N": 2},
    {"functions": [FUNCTION]},
    {"function_call": "auto"},
    {"Functions": [FUNCTION]},
    {"Tools": [{"type": "function", "function": FUNCTION}]},
    {"TOOLS": [{"type": "function", "function": FUNCTION}]},
    {"tool\u017f": [{"type": "function", "function": FUNCTION}]},
    {"previous_response_id": "resp_1"},
    {"Previous_Response_ID": "resp_1"},
    {"conversation": "conv_1"},
    {"prompt": {"id": "pmpt_1"}},
    {"cachedContent": "cachedContents/1"},
    {"cached_content": "cachedContents/1"},
    {"container": "container_1"},
    {"store": True},
    {"plugins": [{"id": "web"}]},
]


@PATHS
@STREAMED
def test_what_the_budget_could_not_count_is_refused(
    forwarded: Bench, upstream: Upstream, path: str, stream: bool
) -> None:
    session = forwarded.open(budget=Budget(1))
    not_googles = {"n", "best_of", "n_cmpl", "plugins"}  # its service refuses fields that it does not know
    with upstream.behaving():
        for more in MORE:
            if path == GOOGLE and set(more) & not_googles:
                continue
            answer = session.ask(path, stream=stream, tools=False, **more)
            assert answer.status_code == 400, more
            assert answer.json()["error"]["message"]
        assert upstream.requests == []
    assert session.account.budget.used.side_requests == 0


@STREAMED
@pytest.mark.parametrize("config", ["generationConfig", "generation_config"])
@pytest.mark.parametrize("name", ["candidateCount", "candidate_count", "CandidateCount"])
def test_several_candidates_are_refused(
    forwarded: Bench, upstream: Upstream, stream: bool, config: str, name: str
) -> None:
    with upstream.behaving():
        more: dict[str, Any] = {config: {name: 2}}
        assert forwarded.open().ask(GOOGLE, stream=stream, **more).status_code == 400
        assert upstream.requests == []


@PATHS
def test_what_is_refused_on_a_forwarded_gateway_is_refused_on_a_scripted_one(scripted: Opener, path: str) -> None:
    session = scripted(turns=1)
    refused: list[dict[str, Any]] = [{"functions": [FUNCTION]}, {"Tools": []}, {"store": True}]
    for more in refused:
        assert session.ask(path, **more).status_code == 400
    assert session.ask(path).status_code == 200


def test_an_item_that_the_service_stored_is_refused(forwarded: Bench, upstream: Upstream) -> None:
    items = [{"role": "user", "content": "go"}, {"type": "item_reference", "id": "msg_1"}]
    with upstream.behaving():
        assert forwarded.open().ask(RESPONSES, input=items).status_code == 400
        assert upstream.requests == []


@pytest.mark.parametrize("tool", [{"type": "custom", "custom": {"name": "bash"}}, {"type": "function"}, {}])
def test_a_request_with_any_kind_of_tool_is_a_turn(scripted: Opener, tool: dict[str, Any]) -> None:
    session = scripted(turns=1)
    session.client.post(CHAT, json=conversation(CHAT, 0, stream=False) | {"tools": [tool]})
    assert session.account.metered().side_requests == 0
    assert session.ledger()[0]["kind"] == "turn"


# Counting


@COUNTING
def test_counting_has_a_budget_of_its_own_for_all_attempts(
    forwarded: Bench, upstream: Upstream, path: str, where: str
) -> None:
    budget, body = Budget(0), conversation(path, 0, stream=False)
    first, second = forwarded.open(budget=budget), forwarded.open(budget=budget)
    with upstream.behaving(count=7):
        codes = [first.client.post(where, json=body).status_code for _ in range(count_limit(0) - 1)]
        codes += [second.client.post(where, json=body).status_code for _ in range(3)]
        assert codes == [200] * count_limit(0) + [400] * 2
        assert len(upstream.requests) == count_limit(0)
    assert budget.passed is None, "a session goes on without counts"
    assert [line["refused"] for line in second.ledger()] == [None, COUNT_LIMIT, COUNT_LIMIT]


@COUNTING
def test_nothing_is_counted_after_the_end(forwarded: Bench, upstream: Upstream, path: str, where: str) -> None:
    session, body = forwarded.open(budget=Budget(1)), conversation(path, 0, stream=False)
    with upstream.behaving(count=7):
        session.ask(path)
        session.ask(path, 1)
        upstream.requests.clear()
        answer = session.client.post(where, json=body)
        assert (answer.status_code, upstream.requests) == (400, [])
    assert "turn_limit" in answer.json()["error"]["message"]


@PATHS
def test_a_client_that_does_not_read_is_no_stalled_model(scripted: Opener, path: str) -> None:
    more_than_sockets_hold = [b": " + b"x" * 1_000_000 + b"\n\n"] * 200
    session = scripted(provider=Forwarder(more_than_sockets_hold, []))
    body = conversation(path, 0, stream=True)
    with session.client.stream("POST", address(path, stream=True), json=body) as answer:
        received = answer.iter_raw()  # httpx closes the connection when nothing holds this iterator
        next(received)
        eventually(lambda: [one.since for one in session.account.waiting] == [float("inf")])
        session.account.close()

"""The gateway over real loopback HTTP: accounts, turns, budgets, failures and ledger, with the scripted provider."""

import itertools
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest

from backends.session import Session as Conversation
from harness.agent.watchdog import Snapshot, spent
from harness.case import Limits
from harness.endings import Ending
from harness.gateway.account_app import MAX_OPEN
from harness.gateway.budget import Budget, side_limit
from harness.gateway.provider import Provider
from harness.gateway.script import load_script
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.server import Gateway
from harness.http_host import HttpHost
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
    text_of,
)

PATHS = pytest.mark.parametrize("path", [MESSAGES, CHAT, RESPONSES, GOOGLE])
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


class Opener(Protocol):
    """How tests open a session."""

    def __call__(
        self,
        script: str,
        *,
        turns: int | None = None,
        tokens: int | None = None,
        provider: Provider | None = None,
    ) -> Session: ...


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Opener]:
    with HttpHost() as host, ExitStack() as stack:
        numbers = itertools.count()

        def opener(
            script: str, *, turns: int | None = None, tokens: int | None = None, provider: Provider | None = None
        ) -> Session:
            number = next(numbers)
            path = tmp_path / f"script{number}.yaml"
            path.write_text(f"turns: {script}", "utf-8")
            ledger = tmp_path / f"gateway{number}.jsonl"
            door = socket.create_server(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{door.getsockname()[1]}"
            account = Gateway(host).open_account(
                door,
                model="demo",
                provider=provider or ScriptedProvider(load_script(path)),
                workspace="/sandbox/workspace",
                budget=Budget(turns, tokens=tokens),
                ledger=ledger,
            )
            stack.callback(account.close)
            return Session(account, stack.enter_context(httpx2.Client(base_url=url, timeout=30)), ledger)

        yield opener


@PATHS
@STREAMED
def test_a_session_is_played_to_its_end_and_metered(open_session: Opener, path: str, stream: bool) -> None:
    session = open_session('[{text: "Grüße\\u2028😀", calls: [{run: a}, {run: b}]}, {text: last}]')
    answers = [session.ask(path, turn, stream=stream) for turn in range(3)]
    assert [text_of(answer) for answer in answers] == ["Grüße\u2028😀", "last", "Done."]
    metered = session.account.metered()
    assert (metered.turns, metered.requests, metered.side_requests, metered.tool_calls) == (3, 3, 0, 2)
    assert metered.cost_usd is None
    lines = session.ledger()
    assert [line["turn"] for line in lines] == [0, 1, 2]
    assert lines[0]["tools_called"] == ["bash", "bash"]
    assert all((line["kind"], line["status"], line["error"]) == ("turn", 200, None) for line in lines)
    assert sum(line["usage"]["input_tokens"] for line in lines) == metered.input_tokens > 0
    assert sum(line["usage"]["output_tokens"] for line in lines) == metered.output_tokens > 0


@PATHS
def test_usage_may_be_written_in_the_script(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a, usage: {input_tokens: 7, output_tokens: 5, cache_read_tokens: 100}}]")
    session.ask(path)
    metered = session.account.metered()
    assert (metered.input_tokens, metered.output_tokens, metered.cache_read_tokens) == (7, 5, 100)


@PATHS
@STREAMED
def test_the_request_beyond_the_turn_limit_is_refused_unasked(open_session: Opener, path: str, stream: bool) -> None:
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
@STREAMED
def test_failures_in_a_row_are_counted_and_told_until_a_turn_comes_back(
    open_session: Opener, path: str, stream: bool
) -> None:
    session = open_session(
        "[{text: a, fail: {status: 429, times: 2, retry_after: 7}}, {text: b, fail: {cut_after: 1}}]"
    )
    for failures in (1, 2):
        session.ask(path, stream=stream)
        assert session.account.failures == failures
    failure = session.account.last_failure
    assert failure is not None
    assert (failure.status, failure.retry_after_s) == (429, 7.0)
    session.ask(path, stream=stream)
    assert session.account.failures == 0
    with pytest.raises(httpx2.HTTPError):
        session.ask(path, 1, stream=stream)
    eventually(lambda: session.account.failures == 1)
    metered = session.account.metered()
    assert (metered.turns, metered.broken_turns) == (1, 1)
    assert session.account.waiting == []


@PATHS
def test_an_open_request_is_seen_waiting_for_its_answer(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a, fail: {hang_after: 1}}, {text: b, delay_s: 60}]")
    with ThreadPoolExecutor(2) as pool:
        hanging = [pool.submit(session.ask, path, turn) for turn in (0, 1)]
        eventually(lambda: sorted(one.begun for one in session.account.waiting) == [False, True])
        session.account.close()
        for request in hanging:
            with pytest.raises(httpx2.HTTPError):
                request.result()
    assert session.account.waiting == []
    assert session.account.failures == 0  # nobody failed: the session was closed


@PATHS
def test_side_requests_take_neither_turns_nor_script(open_session: Opener, path: str) -> None:
    session = open_session("[{text: first}]", turns=1)
    for _ in range(3):
        assert session.ask(path, tools=False).status_code == 200
    assert text_of(session.ask(path)) == "first"
    metered = session.account.metered()
    assert (metered.turns, metered.requests, metered.side_requests) == (1, 4, 3)
    assert session.account.passed is None


def test_side_requests_are_no_way_to_ask_the_model_for_ever(open_session: Opener) -> None:
    session = open_session("[{text: first}]", turns=1)
    codes = [session.ask(MESSAGES, tools=False).status_code for _ in range(side_limit(1) + 1)]
    assert codes == [200] * side_limit(1) + [400]
    assert session.account.passed == "turn_limit"
    stop = spent(Limits(turns=1), session.account, Conversation(), Snapshot(now=1, began=0, last_output=0))
    assert stop == (Ending.TURN_LIMIT, "it has used up its 24 requests without tools, which go with 1 turns")


@PATHS
def test_parallel_requests_are_counted_exactly(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a, delay_s: 0.05}]", turns=5)
    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda _: session.ask(path).status_code, range(12)))
    assert sorted(codes) == [200] * 5 + [400] * 7
    assert session.account.metered().turns == 5
    eventually(lambda: session.account.ledger.open_requests == 0)


def test_side_by_side_so_many_requests_are_answered_and_the_others_meet_the_budget_then(open_session: Opener) -> None:
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    provider = Forwarder([b": comment\n\n"], [f"data: {json.dumps(end)}\n\n".encode(), b"data: [DONE]\n\n"])
    session = open_session("[{text: unused}]", tokens=15, provider=provider)
    with ThreadPoolExecutor(MAX_OPEN + 4) as pool:
        asked = [pool.submit(session.ask, CHAT) for _ in range(MAX_OPEN + 4)]
        eventually(lambda: session.account.metered().requests == MAX_OPEN + 4)
        eventually(lambda: all(one.begun for one in session.account.waiting))
        assert len(session.account.waiting) == MAX_OPEN
        assert session.account.passed is None
        provider.go_on.set()
        codes = sorted(one.result(10).status_code for one in asked)
    assert session.account.passed == "token_limit"
    assert codes == [200] * MAX_OPEN + [400] * 4
    assert session.account.metered().turns == MAX_OPEN


def test_one_that_waits_for_its_turn_may_go_away_and_takes_nobodys_place(open_session: Opener) -> None:
    end = b'data: {"choices": [{"finish_reason": "stop", "delta": {}}]}\n\ndata: [DONE]\n\n'
    provider = Forwarder([b": comment\n\n"], [end])
    session = open_session("[{text: unused}]", turns=MAX_OPEN + 1, provider=provider)
    with ThreadPoolExecutor(MAX_OPEN) as pool:
        asked = [pool.submit(session.ask, CHAT) for _ in range(MAX_OPEN)]
        eventually(lambda: len(session.account.waiting) == MAX_OPEN)
        with pytest.raises(httpx2.ReadTimeout):
            session.client.post(CHAT, json=conversation(CHAT, 0, stream=True), timeout=0.3)
        eventually(lambda: session.account.ledger.open_requests == MAX_OPEN)
        provider.go_on.set()
        assert {one.result(10).status_code for one in asked} == {200}
    assert [session.ask(CHAT).status_code for _ in range(2)] == [200, 400]


@PATHS
def test_a_status_fails_as_often_as_written_and_costs_no_turn(open_session: Opener, path: str) -> None:
    session = open_session("[{text: at last, fail: {status: 529, times: 2, retry_after: 1}}]", turns=1)
    failures = [session.ask(path) for _ in range(2)]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in failures] == [(529, "1")] * 2
    assert all("529" in answer.json()["error"]["message"] for answer in failures)
    assert session.account.metered().turns == 0
    assert text_of(session.ask(path)) == "at last"
    assert session.account.metered().turns == 1
    assert [line["usage"] is None for line in session.ledger()] == [True, True, False]


@PATHS
@STREAMED
def test_a_cut_answer_breaks_the_connection_and_is_no_turn(open_session: Opener, path: str, stream: bool) -> None:
    session = open_session("[{text: whole, fail: {cut_after: 1, times: 1}}]", turns=1)
    with pytest.raises(httpx2.RemoteProtocolError):
        session.ask(path, stream=stream)
    assert text_of(session.ask(path, stream=stream)) == "whole"
    assert session.account.metered().turns == 1
    assert "cuts" in session.ledger()[0]["error"]


@PATHS
@STREAMED
@pytest.mark.parametrize("fail", ["html", "malformed"])
def test_an_answer_that_is_none_is_no_turn(open_session: Opener, path: str, stream: bool, fail: str) -> None:
    session = open_session(f"[{{text: whole, fail: {{{fail}: true, times: 1}}}}]", turns=1)
    broken = session.ask(path, stream=stream)
    assert broken.status_code == 200
    assert ("<html>" in broken.text) == (fail == "html")
    assert session.account.metered().turns == 0
    assert text_of(session.ask(path, stream=stream)) == "whole"
    assert "malformed" in session.ledger()[0]["error"]


@PATHS
def test_a_call_to_a_tool_not_offered_is_an_error_that_says_so(open_session: Opener, path: str) -> None:
    session = open_session("[{calls: [{mcp: render_state}]}]")
    answer = session.ask(path)
    assert answer.status_code == 400
    assert "`mcp: render_state` fits none of the tools offered: bash" in answer.json()["error"]["message"]


@PATHS
def test_a_model_that_is_not_served_is_not_found(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a}]")
    answer = session.ask(path, model="claude-haiku")
    assert answer.status_code == 404
    assert "'claude-haiku' is not served here: this session has 'demo'" in answer.json()["error"]["message"]
    assert session.account.metered().turns == 0


def test_a_tool_that_the_service_would_run_itself_is_no_way_out_of_the_sandbox(open_session: Opener) -> None:
    session = open_session("[{text: a}]", turns=1)
    search = {"type": "web_search_20250305", "name": "web_search"}
    answer = session.client.post(MESSAGES, json=conversation(MESSAGES, 0, stream=False) | {"tools": [search]})
    assert answer.status_code == 400
    assert "would run or fetch web_search_20250305 itself" in answer.json()["error"]["message"]
    assert session.account.failures == 0
    assert session.ask(MESSAGES).status_code == 200


@pytest.mark.parametrize("counting", [False, True], ids=["asked", "counted"])
def test_a_url_that_the_service_would_fetch_is_no_way_out_of_the_sandbox(open_session: Opener, counting: bool) -> None:
    session = open_session("[{text: a}]", turns=1)
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/?secret"}}
    body = conversation(MESSAGES, 0, stream=False) | {"messages": [{"role": "user", "content": [image]}]}
    answer = session.client.post(f"{MESSAGES}/count_tokens" if counting else MESSAGES, json=body)
    assert answer.status_code == 400
    assert "would run or fetch url source itself" in answer.json()["error"]["message"]
    assert session.ask(MESSAGES).status_code == 200


@PATHS
def test_a_fault_of_the_provider_is_a_server_error_and_no_turn(open_session: Opener, path: str) -> None:
    class Faulty:
        async def answer(self, call: Any) -> Any:
            raise KeyError("oops")

        async def count_tokens(self, call: Any) -> int:
            return 0

    session = open_session("[{text: a}]", turns=1, provider=Faulty())
    assert [session.ask(path).status_code for _ in range(2)] == [500, 500]
    assert (session.account.metered().turns, session.account.passed) == (0, None)
    assert "KeyError('oops')" in session.ledger()[0]["error"]


def test_a_forwarded_stream_arrives_unchanged_and_its_first_bytes_at_once(open_session: Opener) -> None:
    before = [b": comment\r\n\r\n", b'data: {"choices": [{"finish_reason": "length", "delta": {"content": "h\xc3']
    after = [
        b'\xb6"}}]}\r\n\r\ndata: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}\n\n',
        b"data: [DONE]\n\n",
    ]
    provider = Forwarder(before, after)
    session = open_session("[{text: unused}]", provider=provider)
    with session.client.stream("POST", CHAT, json=conversation(CHAT, 0, stream=True)) as answer:
        received = answer.iter_raw()
        got = next(received)
        assert b"".join(before).startswith(got)
        assert answer.headers["x-id"] == "7"
        provider.go_on.set()
        got += b"".join(received)
    assert got == b"".join(before + after)
    metered = session.account.metered()
    assert (metered.turns, metered.input_tokens, metered.output_tokens) == (1, 5, 2)


def test_a_fault_in_mid_stream_cuts_it_and_is_no_turn(open_session: Opener) -> None:
    provider = Forwarder([b'data: {"choices": []}\n\n'], [], OSError("reset"))
    provider.go_on.set()
    session = open_session("[{text: unused}]", turns=1, provider=provider)
    for _ in range(2):
        with pytest.raises(httpx2.RemoteProtocolError):
            session.ask(CHAT)
    assert session.account.metered().turns == 0
    assert "OSError('reset')" in session.ledger()[0]["error"]


@PATHS
def test_a_client_that_goes_away_gives_its_turn_back_at_once(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a, delay_s: 600}]", turns=1)
    with pytest.raises(httpx2.ReadTimeout):
        session.client.post(address(path, stream=True), json=conversation(path, 0, stream=True), timeout=0.3)
    eventually(lambda: session.account.ledger.open_requests == 0)
    assert text_of(session.ask(path, 1)) == "Done."
    assert "went away" in session.ledger()[0]["error"]


def test_a_client_that_goes_once_it_has_read_the_last_event_is_no_error(open_session: Opener) -> None:
    chunk = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
    provider = Forwarder([f"data: {json.dumps(chunk)}\n\n".encode(), b"data: [DONE]\n\n"], [b": more\n\n"])
    session = open_session("[{text: unused}]", provider=provider)
    with session.client.stream("POST", CHAT, json=conversation(CHAT, 0, stream=True)) as answer:
        assert any(b"[DONE]" in piece for piece in answer.iter_raw())
    provider.go_on.set()
    eventually(lambda: session.account.ledger.open_requests == 0)
    assert session.account.metered().turns == 1
    assert session.ledger()[0]["error"] is None


@PATHS
def test_closing_an_account_ends_its_open_requests_and_stands_in_the_books(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a, delay_s: 600}]")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(session.ask, path)
        eventually(lambda: session.account.metered().requests == 1)
        assert session.account.ledger.open_requests == 1
        lines = session.ledger()
        with pytest.raises(httpx2.TransportError):
            answer.result(10)
    assert [line["error"] for line in lines] == ["the session was closed before the answer was complete"]
    session.account.close()


def test_sessions_know_nothing_of_each_other(open_session: Opener) -> None:
    one, two = open_session("[{text: one}]", turns=1), open_session("[{text: two}]", turns=1)
    assert [text_of(session.ask(CHAT)) for session in (one, two)] == ["one", "two"]
    assert one.ask(CHAT, 1).status_code == 400
    assert (one.account.passed, two.account.passed) == ("turn_limit", None)


def test_an_open_request_shows_as_activity(open_session: Opener) -> None:
    session = open_session("[{text: a}]")
    start = time.monotonic()
    session.ask(CHAT)
    assert start < session.account.last_activity <= time.monotonic()
    assert 0 < session.account.model_s <= time.monotonic() - start


def test_a_turn_counts_before_the_client_can_see_its_end(open_session: Opener) -> None:
    end = b'data: {"choices": [{"finish_reason": "stop", "delta": {}}]}\n\ndata: [DONE]\n\n'
    provider = Forwarder([end], [])
    session = open_session("[{text: unused}]", provider=provider)
    with session.client.stream("POST", CHAT, json=conversation(CHAT, 0, stream=True)) as answer:
        assert next(answer.iter_raw()) == end
        assert (session.account.metered().turns, session.account.ledger.open_requests) == (1, 1)
        provider.go_on.set()


@pytest.mark.parametrize(
    ("path", "body"),
    [(MESSAGES, b"{"), (CHAT, b'{"model": "demo"}'), (f"{MESSAGES}/count_tokens", b"\xff"), ("/api/show", b"[]")],
)
def test_a_bad_body_is_refused_in_the_wires_own_form(open_session: Opener, path: str, body: bytes) -> None:
    answer = open_session("[{text: a}]").client.post(path, content=body)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


def test_tokens_are_counted(open_session: Opener) -> None:
    session = open_session("[{text: a}]", turns=0)
    body = conversation(MESSAGES, 2, stream=False)
    answer = session.client.post(f"{MESSAGES}/count_tokens?beta=true", json=body)
    assert answer.json()["input_tokens"] > 10
    assert session.account.metered().requests == 0
    assert session.ledger()[0]["kind"] == "count"


def test_it_says_what_it_serves_in_every_dialect(open_session: Opener) -> None:
    client = open_session("[{text: a}]").client
    assert client.get("/").text == "Ollama is running"
    assert client.head("/").status_code == 200
    assert client.get("/v1/models").json()["data"][0]["id"] == "demo"
    assert client.get("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()["first_id"] == "demo"
    assert client.get("/api/version").json()["version"]
    assert client.get("/api/tags").json()["models"][0]["name"] == "demo"
    assert client.get("/api/ps").json()["models"][0]["context_length"] == 65_536
    assert "tools" in client.post("/api/show", json={"model": "demo"}).json()["capabilities"]
    missing = client.post("/api/show", json={"model": "other"})
    assert (missing.status_code, missing.json()) == (404, {"error": "model 'other' not found"})


@pytest.mark.parametrize(
    ("path", "headers", "form"),
    [
        ("/v1/batches", {"anthropic-version": "2023-06-01"}, {"type": "error"}),
        ("/v1/embeddings?x=1", {}, {}),
        ("/api/pull", {}, {}),
    ],
)
def test_unknown_paths_are_not_found_and_stand_in_the_books(
    open_session: Opener, path: str, headers: dict[str, str], form: dict[str, str]
) -> None:
    session = open_session("[{text: a}]")
    answer = session.client.post(path, json={}, headers=headers)
    assert answer.status_code == 404
    assert answer.json().items() >= form.items()
    assert f"there is no POST {path.partition('?')[0]} here" in answer.text
    [line] = session.ledger()
    assert (line["path"], line["status"], line["kind"]) == (path, 404, "other")


def test_the_books_hold_no_bodies_but_their_digest(open_session: Opener) -> None:
    session = open_session("[{text: a}]")
    session.client.post(CHAT, json=conversation(CHAT, 0, stream=True) | {"user": "a secret"})
    [line] = session.ledger()
    assert len(line["request_sha256"]) == 64
    assert line["request_bytes"] > 100
    assert "a secret" not in json.dumps(line)

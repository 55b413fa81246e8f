"""The gateway over real loopback HTTP when requests fail: broken answers, faults, and clients that go away."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.gateway_client import CHAT, MESSAGES, Forwarder, conversation, eventually, text_of
from tests.support.scripted_gateway import PATHS, STREAMED, Opener, scripted_gateway


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Opener]:
    with scripted_gateway(tmp_path) as opener:
        yield opener


@PATHS
@STREAMED
def test_failures_in_a_row_are_counted_until_a_turn_comes_back(open_session: Opener, path: str, stream: bool) -> None:
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
def test_a_status_fails_as_often_as_scripted_and_uses_no_turn(open_session: Opener, path: str) -> None:
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
def test_a_cut_answer_breaks_the_connection_and_is_not_a_turn(open_session: Opener, path: str, stream: bool) -> None:
    session = open_session("[{text: whole, fail: {cut_after: 1, times: 1}}]", turns=1)
    with pytest.raises(httpx2.RemoteProtocolError):
        session.ask(path, stream=stream)
    assert text_of(session.ask(path, stream=stream)) == "whole"
    assert session.account.metered().turns == 1
    assert "cuts" in session.ledger()[0]["error"]


@PATHS
@STREAMED
@pytest.mark.parametrize("fail", ["html", "malformed"])
def test_a_malformed_answer_is_not_a_turn(open_session: Opener, path: str, stream: bool, fail: str) -> None:
    session = open_session(f"[{{text: whole, fail: {{{fail}: true, times: 1}}}}]", turns=1)
    broken = session.ask(path, stream=stream)
    assert broken.status_code == (200 if stream and fail == "malformed" else 502)
    assert ("Sign in Please sign in." in broken.text) == (fail == "html")
    assert session.account.metered().turns == 0
    assert text_of(session.ask(path, stream=stream)) == "whole"
    assert ("malformed" if broken.status_code == 200 else "no answer of a model") in session.ledger()[0]["error"]


@PATHS
def test_calling_a_tool_that_is_not_offered_is_a_clear_error(open_session: Opener, path: str) -> None:
    session = open_session("[{calls: [{mcp: render_state}]}]")
    answer = session.ask(path)
    assert answer.status_code == 400
    assert "`mcp: render_state` fits none of the offered tools: bash" in answer.json()["error"]["message"]


@PATHS
def test_a_model_that_is_not_served_is_not_found(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a}]")
    answer = session.ask(path, model="claude-haiku")
    assert answer.status_code == 404
    assert "'claude-haiku' is not served here: this session uses 'demo'" in answer.json()["error"]["message"]
    assert session.account.metered().turns == 0


def test_a_tool_that_the_service_runs_itself_is_not_a_way_out_of_the_sandbox(open_session: Opener) -> None:
    session = open_session("[{text: a}]", turns=1)
    search = {"type": "web_search_20250305", "name": "web_search"}
    answer = session.client.post(MESSAGES, json=conversation(MESSAGES, 0, stream=False) | {"tools": [search]})
    assert answer.status_code == 400
    assert "would run or fetch web_search_20250305 over its own network" in answer.json()["error"]["message"]
    assert session.account.failures == 0
    assert session.ask(MESSAGES).status_code == 200


@pytest.mark.parametrize("counting", [False, True], ids=["asked", "counted"])
def test_a_url_that_the_service_fetches_is_not_a_way_out_of_the_sandbox(open_session: Opener, counting: bool) -> None:
    session = open_session("[{text: a}]", turns=1)
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/?secret"}}
    body = conversation(MESSAGES, 0, stream=False) | {"messages": [{"role": "user", "content": [image]}]}
    answer = session.client.post(f"{MESSAGES}/count_tokens" if counting else MESSAGES, json=body)
    assert answer.status_code == 400
    assert "would run or fetch url source over its own network" in answer.json()["error"]["message"]
    assert session.ask(MESSAGES).status_code == 200


@PATHS
def test_an_error_in_the_provider_is_a_server_error_and_not_a_turn(open_session: Opener, path: str) -> None:
    class Faulty:
        async def answer(self, call: Any) -> Any:
            raise KeyError("oops")

        async def count_tokens(self, call: Any) -> int:
            return 0

    session = open_session("[{text: a}]", turns=1, provider=Faulty())
    assert [session.ask(path).status_code for _ in range(2)] == [500, 500]
    assert (session.account.metered().turns, session.account.passed) == (0, None)
    assert "KeyError('oops')" in session.ledger()[0]["error"]


def test_an_error_in_mid_stream_cuts_the_stream_and_is_not_a_turn(open_session: Opener) -> None:
    provider = Forwarder([b'data: {"choices": []}\n\n'], [], OSError("reset"))
    provider.go_on.set()
    session = open_session("[{text: unused}]", turns=1, provider=provider)
    for _ in range(2):
        with pytest.raises(httpx2.RemoteProtocolError):
            session.ask(CHAT)
    assert session.account.metered().turns == 0
    assert "OSError('reset')" in session.ledger()[0]["error"]


def test_a_client_that_leaves_after_the_last_event_is_not_an_error(open_session: Opener) -> None:
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
def test_closing_an_account_ends_its_open_requests_and_the_ledger_says_so(open_session: Opener, path: str) -> None:
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


@pytest.mark.parametrize(
    ("path", "body"),
    [(MESSAGES, b"{"), (CHAT, b'{"model": "demo"}'), (f"{MESSAGES}/count_tokens", b"\xff"), ("/api/show", b"[]")],
)
def test_a_bad_body_is_refused_in_the_wires_own_form(open_session: Opener, path: str, body: bytes) -> None:
    answer = open_session("[{text: a}]").client.post(path, content=body)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]

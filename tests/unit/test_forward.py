"""The gateway in front of a model service: what it passes on, and what it holds back, over real TLS on every wire."""

import gzip
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.case import Price
from harness.gateway.budget import Budget
from tests.support.forwarding import DUMMY, KEY, PATHS, STREAMED, TURN, Opener, metered
from tests.support.gateway_client import (
    CHAT,
    GOOGLE,
    MESSAGES,
    address,
    conversation,
    eventually,
    text_of,
)
from tests.support.stand_in_upstream import Upstream

# What goes through


@PATHS
@STREAMED
def test_an_answer_passes_unchanged_and_is_metered(opener: Opener, upstream: Upstream, path: str, stream: bool) -> None:
    session = opener()
    with upstream.behaving(headers={"x-request-id": "req-7", "connection": "keep-alive", "set-cookie": "a=b"}):
        answer = session.ask(path, stream=stream)
        assert answer.status_code == 200
        assert answer.content == upstream.sent[0]
        assert text_of(answer) == TURN.text
        assert answer.headers["x-request-id"] == "req-7"
        assert "set-cookie" not in answer.headers
        assert metered(session) == (1, 700, 50, 1000)
        assert session.account.metered().tools_used == {"bash"}
    [line] = session.ledger()
    assert (line["status"], line["error"], line["stream"], line["note"]) == (200, None, stream, None)


@PATHS
@STREAMED
def test_a_request_passes_unchanged_but_for_its_credentials(
    opener: Opener, upstream: Upstream, path: str, stream: bool
) -> None:
    session = opener()
    where = address(path, stream=stream)
    where += ("&" if "?" in where else "?") + "key=sealed"
    body = json.dumps(conversation(path, 1, stream=stream), indent=3).encode()
    with upstream.behaving():
        session.client.post(where, content=body, headers={"content-type": "application/json", "accept": "*/*"})
        [came] = upstream.requests
    assert came.body == body
    assert came.path == address(path, stream=stream)
    assert came.headers["authorization"] == f"Bearer {KEY}"
    assert came.headers["accept-encoding"] == "identity"
    assert came.headers["host"] == upstream.url.removeprefix("https://")
    assert (came.headers["accept"], came.headers["content-type"]) == ("*/*", "application/json")
    assert "sealed" not in str(came)


@pytest.mark.parametrize(("header", "value"), [("x-api-key", KEY), ("X-Goog-Api-Key", KEY)])
def test_the_key_goes_where_the_service_wants_it(opener: Opener, upstream: Upstream, header: str, value: str) -> None:
    with upstream.behaving():
        opener(key_header=header).ask(MESSAGES)
        opener(key=None).ask(MESSAGES)
        with_key, without = upstream.requests
    assert with_key.headers[header.lower()] == value
    assert not set(DUMMY) & (set(with_key.headers) - {header.lower()})
    assert not set(DUMMY) & set(without.headers)


def test_a_chat_stream_is_asked_for_its_usage(opener: Opener, upstream: Upstream) -> None:
    session = opener()
    body = conversation(CHAT, 0, stream=True) | {"stream_options": {"include_usage": False}}
    with upstream.behaving():
        answer = session.client.post(CHAT, json=body)
        [came] = upstream.requests
        [sent] = upstream.sent
    assert came.json == body | {"stream_options": {"include_usage": True}}
    *chunks, _ = answer.content.split(b"\n\n")
    assert [chunk for chunk in sent.split(b"\n\n")[:-1] if chunk not in chunks] == [sent.split(b"\n\n")[-3]]
    assert all(json.loads(chunk[6:])["choices"] for chunk in chunks[:-1])
    assert metered(session) == (1, 700, 50, 1000)
    assert "include_usage was set" in session.ledger()[0]["note"]


@PATHS
def test_the_first_bytes_arrive_before_the_last_are_written(opener: Opener, upstream: Upstream, path: str) -> None:
    session = opener()
    with (
        upstream.behaving(hold_after=1),
        session.client.stream("POST", address(path, stream=True), json=conversation(path, 0, stream=True)) as answer,
    ):
        received = answer.iter_raw()
        first = next(received)
        assert not session.account.metered().turns
        assert [one.begun for one in session.account.waiting] == [True]
        upstream.open()
        assert first + b"".join(received) == upstream.sent[0]
        assert session.account.metered().turns == 1


@PATHS
@settings(max_examples=8)
@given(data=st.data())
def test_any_division_of_an_answer_into_pieces_works(
    opener: Opener, upstream: Upstream, path: str, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 200), max_size=30))
    stream, zipped = data.draw(st.booleans()), data.draw(st.booleans())
    session = opener()
    with upstream.behaving(sizes=sizes, gzip=zipped):
        answer = session.ask(path, stream=stream)
        assert answer.content == upstream.sent[0]
        assert metered(session) == (1, 700, 50, 1000)
    session.account.close()


@PATHS
@STREAMED
def test_an_unrequested_compressed_answer_is_unpacked(
    opener: Opener, upstream: Upstream, path: str, stream: bool
) -> None:
    session = opener()
    with upstream.behaving(gzip=True):
        answer = session.ask(path, stream=stream)
        assert "content-encoding" not in answer.headers
        assert answer.content == upstream.sent[0]
    assert metered(session) == (1, 700, 50, 1000)


def test_an_answer_in_an_unknown_encoding_is_a_clear_error(opener: Opener, upstream: Upstream) -> None:
    with upstream.behaving(headers={"content-encoding": "br"}):
        answer = opener().ask(MESSAGES)
    assert answer.status_code == 502
    assert "encoding br" in answer.json()["error"]["message"]


def test_connections_are_kept_alive(opener: Opener, upstream: Upstream) -> None:
    session = opener()
    with upstream.behaving():
        for turn in range(5):
            assert session.ask(MESSAGES, turn).status_code == 200
        assert len(upstream.connections) == 1


# Counting tokens


@pytest.mark.parametrize(("path", "counted_as"), [(MESSAGES, "input_tokens"), (GOOGLE, "totalTokens")])
def test_tokens_are_counted_by_the_service_or_estimated(
    opener: Opener, upstream: Upstream, path: str, counted_as: str
) -> None:
    session = opener(budget=Budget(0))
    where = f"{path}/count_tokens" if path == MESSAGES else f"{path}/demo:countTokens"
    body = conversation(path, 3, stream=False)
    with upstream.behaving(count=1234):
        assert session.client.post(where, json=body).json() == {counted_as: 1234}
        assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
    with upstream.behaving():
        guessed = session.client.post(where, json=body).json()[counted_as]
    assert 10 < guessed < 1000
    with upstream.behaving(status=401, body=KEY.encode()):
        refused = session.client.post(where, json=body)
    assert (refused.status_code, KEY in refused.text) == (401, False)
    assert {line["kind"] for line in session.ledger()} == {"count"}


def test_counting_tokens_for_a_model_that_is_not_served_is_refused(opener: Opener, upstream: Upstream) -> None:
    with upstream.behaving(count=1):
        answer = opener().client.post(f"{GOOGLE}/other:countTokens", json={"contents": []})
        assert answer.status_code == 404
        assert upstream.requests == []


# Clients that go away


def test_closing_the_account_ends_the_request_upstream(opener: Opener, upstream: Upstream) -> None:
    session = opener()
    with upstream.behaving(hold_after=1), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(session.ask, MESSAGES)
        eventually(lambda: any(one.begun for one in session.account.waiting))
        session.account.close()
        eventually(lambda: upstream.gone == 1)
        with pytest.raises(httpx2.HTTPError):
            answer.result(10)


# Costs


def test_a_cost_limit_refuses_a_request_that_starts_beyond_it(opener: Opener, upstream: Upstream) -> None:
    # a turn costs 700 x 1 + 50 x 10 + 1000 x 0.1 millionths of a dollar, and a side request a few more
    session = opener(budget=Budget(cost_usd=0.00131), price=Price(input=1, output=10, cache_read=0.1))
    with upstream.behaving():
        assert session.ask(MESSAGES).status_code == 200
        assert session.account.metered().cost_usd == pytest.approx(0.0013)
        assert session.account.passed is None
        assert session.ask(MESSAGES, tools=False).status_code == 200
        assert session.account.passed is None, "a paid answer may be used"
        for tools in (True, False):
            refused = session.ask(MESSAGES, tools=tools)
            assert session.account.passed == "cost_limit"
            assert "cost_limit" in refused.json()["error"]["message"]
        assert len(upstream.requests) == 2
    assert [line["cost_usd"] is not None for line in session.ledger()] == [True, True, False, False]


# Headers


def test_a_header_beyond_latin_1_reaches_the_cli(opener: Opener, upstream: Upstream) -> None:
    with upstream.behaving(headers={"x-says": "Ω"}):
        answer = opener().ask(MESSAGES)
    assert answer.status_code == 200
    assert dict(answer.headers.raw)[b"x-says"].decode() == "Ω"


# The key


def test_the_key_reaches_nobody_but_the_service(
    opener: Opener, upstream: Upstream, capfd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    session = opener(key_header="x-api-key")
    quoted = {"x-you-sent": KEY, "anthropic-organization-id": "org-of-the-host"}
    told = []
    with upstream.behaving(status=401, body=f"bad key {KEY}".encode(), headers=quoted):
        told.append(session.ask(MESSAGES))
    with upstream.behaving(status=500, body=gzip.compress(KEY.encode()), headers={"content-encoding": "gzip"}):
        told.append(session.ask(CHAT))
    with upstream.behaving(headers=quoted):
        told.append(session.ask(MESSAGES))
    with upstream.behaving(sizes=[30], cut_after=1), pytest.raises(httpx2.HTTPError) as cut:
        session.ask(MESSAGES)
    told.append(opener("https://127.0.0.1:1").ask(MESSAGES))
    assert "bad key [key]" in told[0].text
    seen = "".join(f"{answer.headers} {answer.text}" for answer in told) + repr(cut.value)
    seen += json.dumps(session.ledger()) + repr(session.account.last_failure) + repr(session.account.provider)
    seen += "".join(capfd.readouterr()) + caplog.text
    assert KEY not in seen
    assert "org-of-the-host" not in seen

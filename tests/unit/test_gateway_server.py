"""The gateway over real loopback HTTP: accounts, answers, the ledger, and the other paths that it serves."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx2
import pytest

from harness.gateway.provider import Call
from tests.support.gateway_client import CHAT, MESSAGES, Forwarder, conversation, eventually, text_of
from tests.support.scripted_gateway import PATHS, STREAMED, Opener, scripted_gateway


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Opener]:
    with scripted_gateway(tmp_path) as opener:
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
def test_a_script_may_set_the_usage(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a, usage: {input_tokens: 7, output_tokens: 5, cache_read_tokens: 100}}]")
    session.ask(path)
    metered = session.account.metered()
    assert (metered.input_tokens, metered.output_tokens, metered.cache_read_tokens) == (7, 5, 100)


@PATHS
def test_an_open_request_is_shown_as_waiting_for_its_answer(open_session: Opener, path: str) -> None:
    session = open_session("[{text: a, fail: {hang_after: 1}}, {text: b, delay_s: 60}]")
    with ThreadPoolExecutor(2) as pool:
        hanging = [pool.submit(session.ask, path, turn) for turn in (0, 1)]
        eventually(lambda: sorted(one.begun for one in session.account.waiting) == [False, True])
        session.account.close()
        for request in hanging:
            with pytest.raises(httpx2.HTTPError):
                request.result()
    assert session.account.waiting == []
    assert session.account.failures == 0  # not a failure: the session was closed


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
        received = answer.iter_raw()  # httpx closes the connection when nothing holds this iterator
        assert next(received) == end
        assert (session.account.metered().turns, session.account.ledger.open_requests) == (1, 1)
        provider.go_on.set()


def test_tokens_are_counted(open_session: Opener) -> None:
    session = open_session("[{text: a}]", turns=0)
    body = conversation(MESSAGES, 2, stream=False)
    answer = session.client.post(f"{MESSAGES}/count_tokens?beta=true", json=body)
    assert answer.json()["input_tokens"] > 10
    assert session.account.metered().requests == 0
    assert session.ledger()[0]["kind"] == "count"


def test_it_lists_its_models_in_every_dialect(open_session: Opener) -> None:
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
def test_unknown_paths_are_not_found_and_appear_in_the_ledger(
    open_session: Opener, path: str, headers: dict[str, str], form: dict[str, str]
) -> None:
    session = open_session("[{text: a}]")
    answer = session.client.post(path, json={}, headers=headers)
    assert answer.status_code == 404
    assert answer.json().items() >= form.items()
    assert f"there is no POST {path.partition('?')[0]} here" in answer.text
    [line] = session.ledger()
    assert (line["path"], line["status"], line["kind"]) == (path, 404, "other")


def test_the_ledger_has_digests_of_bodies_and_no_bodies(open_session: Opener) -> None:
    session = open_session("[{text: a}]")
    session.client.post(CHAT, json=conversation(CHAT, 0, stream=True) | {"user": "a secret"})
    [line] = session.ledger()
    assert len(line["request_sha256"]) == 64
    assert line["request_bytes"] > 100
    assert "a secret" not in json.dumps(line)


def test_a_count_that_hangs_is_a_wait_for_the_model(open_session: Opener) -> None:
    class Hangs(Forwarder):
        async def count_tokens(self, call: Call) -> int:
            await anyio.sleep_forever()
            return 0

    session = open_session("[{text: unused}]", provider=Hangs([], []))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            session.client.post, f"{MESSAGES}/count_tokens", json=conversation(MESSAGES, 0, stream=False)
        )
        eventually(lambda: [one.begun for one in session.account.waiting] == [False])
        session.account.close()
        with pytest.raises(httpx2.HTTPError):
            asked.result()
    assert session.account.waiting == []


@pytest.mark.parametrize("counts", ["", "/count_tokens"])
def test_a_session_that_is_being_stopped_asks_nothing_of_the_provider(open_session: Opener, counts: str) -> None:
    provider = Forwarder([], [])
    session = open_session("[{text: unused}]", provider=provider)
    session.account.end("wall_limit")
    answer = session.client.post(f"{MESSAGES}{counts}", json=conversation(MESSAGES, 0, stream=False))
    assert (answer.status_code, provider.asked) == (400, 0)
    assert session.ledger()[0]["refused"] == "wall_limit"


def test_an_answer_with_a_tool_call_as_text_is_marked_in_the_ledger(open_session: Opener) -> None:
    session = open_session("[{text: '<tool_call>{}</tool_call>'}, {text: 'Done.'}]")
    for turn in range(2):
        session.ask(CHAT, turn)
    assert [line["leaked_call"] for line in session.ledger()] == [True, False]
    assert session.account.metered().leaked_calls == 1

"""The gateway in front of a model service that fails in every possible way."""

import gzip
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from backends.session import Session as Conversation
from harness.agent.watchdog import Snapshot, hangs
from harness.case import Limits
from harness.endings import Ending
from harness.gateway.budget import Budget
from tests.support.forwarding import PATHS, STREAMED, Opener, metered
from tests.support.gateway_client import (
    MESSAGES,
    eventually,
)
from tests.support.stand_in_upstream import Upstream


@PATHS
@STREAMED
@pytest.mark.parametrize("status", [401, 429, 500, 529])
def test_an_error_answer_reaches_the_cli_unchanged_and_uses_no_turn(
    opener: Opener, upstream: Upstream, path: str, stream: bool, status: int
) -> None:
    session = opener(budget=Budget(1))
    said = b'{"error": {"message": "so it is"}}'
    with upstream.behaving(status=status, body=said, headers={"retry-after": "17"}):
        answer = session.ask(path, stream=stream)
    assert (answer.status_code, answer.content, answer.headers["retry-after"]) == (status, said, "17")
    failure = session.account.last_failure
    assert failure is not None
    assert (failure.status, failure.retry_after_s, "so it is" in failure.message) == (status, 17.0, True)
    with upstream.behaving():
        assert session.ask(path, stream=stream).status_code == 200


def test_a_retry_after_date_is_read_by_the_clock_of_the_service(opener: Opener, upstream: Upstream) -> None:
    theirs = datetime.now(UTC) - timedelta(days=3)
    at = format_datetime(theirs + timedelta(seconds=90), usegmt=True)
    session = opener()
    dated = {"retry-after": at, "date": format_datetime(theirs, usegmt=True)}
    with upstream.behaving(status=429, body=b"{}", headers=dated):
        session.ask(MESSAGES)
    assert session.account.last_failure is not None
    assert session.account.last_failure.retry_after_s == pytest.approx(90, abs=1)


@PATHS
@STREAMED
def test_a_broken_answer_is_cut_for_the_cli_too(opener: Opener, upstream: Upstream, path: str, stream: bool) -> None:
    session = opener(budget=Budget(1))
    with upstream.behaving(sizes=[30], cut_after=1), pytest.raises(httpx2.RemoteProtocolError):
        session.ask(path, stream=stream)
    eventually(lambda: session.account.failures == 1)
    assert session.account.metered().broken_turns == 1
    with upstream.behaving():
        assert session.ask(path, stream=stream).status_code == 200
    assert "broke off its answer" in session.ledger()[0]["error"]


@PATHS
@STREAMED
@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b'{"half', b"[]"])
def test_an_answer_that_is_none_becomes_an_error_that_shows_it(
    opener: Opener, upstream: Upstream, path: str, stream: bool, body: bytes
) -> None:
    session = opener()
    with upstream.behaving(body=body, headers={"content-type": "text/html"}):
        answer = session.ask(path, stream=stream)
    said = answer.json()["error"]["message"]
    assert answer.status_code == 502
    assert "it is text/html): is there a model service at this address?" in said
    assert said.endswith("Sign in" if b"Sign" in body else body.decode())
    assert metered(session) == (0, 0, 0, 0)
    assert session.account.failures == 1
    [line] = session.ledger()
    assert (line["status"], line["error"]) == (502, said)


@PATHS
def test_an_error_with_the_status_of_an_answer_is_an_error(opener: Opener, upstream: Upstream, path: str) -> None:
    session = opener()
    with upstream.behaving(body=b'{"error": {"message": "all providers are busy", "code": 503}}'):
        answer = session.ask(path, stream=False)
    assert answer.status_code == 502
    assert "all providers are busy" in answer.json()["error"]["message"]


@PATHS
def test_a_page_shows_its_words_alone(opener: Opener, upstream: Upstream, path: str) -> None:
    page = (
        "<!doctype html><style>p {}</style><script>login('</p>')</script><!-- x --><p>Please <b>sign in\u202e</b> "
        + "a" * 999
    )
    session = opener()
    with upstream.behaving(body=page.encode(), headers={"content-type": "text/html"}):
        said = session.ask(path).json()["error"]["message"]
    assert "It says: Please sign in\\u202e aaa" in said
    assert len(said) < 400


def test_a_body_that_does_not_match_its_encoding_is_a_broken_answer(opener: Opener, upstream: Upstream) -> None:
    session = opener()
    with upstream.behaving(body=b"plain", headers={"content-encoding": "gzip"}), pytest.raises(httpx2.HTTPError):
        session.ask(MESSAGES)
    eventually(lambda: session.account.failures == 1)
    cut = gzip.compress(b"x" * 100)[:20]
    with upstream.behaving(body=cut, headers={"content-encoding": "gzip"}):
        session.ask(MESSAGES)
    eventually(lambda: session.account.failures == 2)


@PATHS
@STREAMED
def test_a_request_to_a_silent_service_is_shown_as_waiting(
    opener: Opener, upstream: Upstream, path: str, stream: bool
) -> None:
    session = opener()
    with upstream.behaving(hold_headers=True), ThreadPoolExecutor(1) as pool:
        asked = time.monotonic()
        answer = pool.submit(session.ask, path, stream=stream)
        eventually(lambda: bool(upstream.requests))
        [waiting] = session.account.waiting
        assert (waiting.begun, waiting.since >= asked) == (False, True)
        upstream.open()
        assert answer.result(10).status_code == 200
    eventually(lambda: session.account.waiting == [])


def test_a_service_that_does_not_exist_is_unreachable(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.gateway.forward.PAUSES_S", (0.01,))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"https://127.0.0.1:{closed.getsockname()[1]}"
    session = opener(url, budget=Budget(1))
    for _ in range(2):
        answer = session.ask(MESSAGES)
        assert answer.status_code == 502
        place = url.removeprefix("https://")
        assert f"the model service at {place} cannot be reached: " in answer.json()["error"]["message"]
    assert session.account.failures == 2
    stop = hangs(Limits(), session.account, Conversation(), Snapshot(now=1.0, began=0.0, last_output=1.0))
    assert stop is not None
    assert stop.ending is Ending.MODEL_UNREACHABLE


def test_a_connection_that_comes_about_at_a_second_try_is_used(
    opener: Opener, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    tries: list[int] = []
    send = httpx2.AsyncClient.send

    async def flaky(*arguments: object, **named: object) -> httpx2.Response:
        tries.append(1)
        if len(tries) == 1:
            raise httpx2.ConnectError("refused")
        return await send(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("harness.gateway.forward.PAUSES_S", (0.01,))
    monkeypatch.setattr(httpx2.AsyncClient, "send", flaky)
    with upstream.behaving():
        assert opener().ask(MESSAGES).status_code == 200
    assert len(tries) == 2


def test_an_untrusted_service_gets_no_request_and_no_key(
    opener: Opener, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.gateway.forward.PAUSES_S", ())
    with upstream.behaving():
        answer = opener(trusted=ssl.create_default_context()).ask(MESSAGES)
        assert answer.status_code == 502
        assert "certificate verify failed" in answer.text
        assert upstream.requests == []


def test_each_failure_ends_a_session_with_its_ending(opener: Opener, upstream: Upstream) -> None:
    """Only the watchdog's reading of the failures; `tests/unit/test_agent_driver.py` tests the rest."""
    limits, snapshot = Limits(failed_requests=1), Snapshot(now=1.0, began=0.0, last_output=1.0)
    said = {
        (401, b"no"): Ending.AUTH_FAILED,
        (400, b'{"error": {"message": "API key not valid. Please pass a valid API key."}}'): Ending.AUTH_FAILED,
        (400, b'{"error": {"message": "The input token count (9) exceeds the maximum"}}'): Ending.CONTEXT_OVERFLOW,
        (429, b"slow down"): Ending.RATE_LIMITED,
        (503, b"busy"): Ending.MODEL_ERROR,
        (502, b"bad gateway"): Ending.MODEL_UNREACHABLE,
    }
    for (status, body), ending in said.items():
        session = opener()
        with upstream.behaving(status=status, body=body):
            session.ask(MESSAGES)
        stop = hangs(limits, session.account, Conversation(), snapshot)
        assert stop is not None
        assert stop.ending == ending, body

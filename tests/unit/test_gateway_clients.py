"""What the official clients of model services ask beyond what the CLIs do: models, counts, and proper errors."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.gateway.routes import dialect, wire_of
from tests.support.forwarding import Bench
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, address, conversation
from tests.support.scripted_gateway import PATHS, Opener, scripted_gateway

ANTHROPIC = {"anthropic-version": "2023-06-01"}
GOOGLES = [{"x-goog-api-key": "sealed"}, {"x-goog-api-client": "google-genai-sdk/3.6.1"}]


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Opener]:
    with scripted_gateway(tmp_path) as opener:
        yield opener


@pytest.mark.parametrize(
    ("path", "headers", "wire"),
    [
        ("/v1/models", {}, "openai_chat"),
        ("/v1/models", ANTHROPIC, "anthropic_messages"),
        *(("/v1/models", headers, "google_generate") for headers in GOOGLES),
        ("/v1beta/models", {}, "google_generate"),
        ("/v1alpha/models/demo", {}, "google_generate"),
        ("/v1alpha/models/demo:generateContent", {}, "google_generate"),
        ("/v1/responses/input_tokens", {}, "openai_responses"),
        ("/v1/nonsense", {}, "openai_chat"),
        ("/v1/nonsense", ANTHROPIC, "anthropic_messages"),
        ("/v1/nonsense", GOOGLES[0], "google_generate"),
    ],
)
def test_the_path_and_the_headers_tell_which_dialect_a_client_speaks(
    path: str, headers: dict[str, str], wire: str
) -> None:
    assert wire == dialect(path, headers).NAME


def test_each_service_lists_and_describes_the_model_in_its_own_form(open_session: Opener) -> None:
    client = open_session().client
    listed = {
        "openai": client.get("/v1/models").json(),
        "anthropic": client.get("/v1/models", headers=ANTHROPIC).json(),
        "google": client.get("/v1/models", headers=GOOGLES[0]).json(),
    }
    assert listed["openai"]["data"] == [client.get("/v1/models/demo").json()]
    assert listed["anthropic"]["data"] == [client.get("/v1/models/demo", headers=ANTHROPIC).json()]
    assert listed["google"]["models"] == [client.get("/v1beta/models/demo").json()]
    assert client.get("/v1alpha/models").json() == listed["google"]
    assert [
        listed["openai"]["data"][0]["id"],
        listed["anthropic"]["first_id"],
        listed["google"]["models"][0]["name"],
    ] == [
        "demo",
        "demo",
        "models/demo",
    ]


@pytest.mark.parametrize(
    ("path", "headers", "said"),
    [
        ("/v1/models/other", {}, {"type": "not_found_error", "code": "model_not_found"}),
        ("/v1/models/other", ANTHROPIC, {"type": "not_found_error"}),
        ("/v1beta/models/other", {}, {"code": 404, "status": "NOT_FOUND"}),
    ],
)
def test_another_model_is_not_found(
    open_session: Opener, path: str, headers: dict[str, str], said: dict[str, Any]
) -> None:
    answer = open_session().client.get(path, headers=headers)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert "this session uses 'demo'" in error["message"]
    assert error | said == error


def test_tokens_are_counted_over_openais_responses(open_session: Opener, both: Bench) -> None:
    body = {"model": "demo", "input": "go"}
    answer = open_session().client.post(f"{RESPONSES}/input_tokens", json=body)
    assert answer.json() == {"object": "response.input_tokens", "input_tokens": len(answer.request.content) // 4}
    with both.upstream.behaving(count=77):
        forwarded = both.open()
        assert forwarded.client.post(f"{RESPONSES}/input_tokens", json=body).json()["input_tokens"] == 77
    assert forwarded.ledger()[0]["kind"] == "count"


WORDS: dict[str, dict[int, Any]] = {
    MESSAGES: {
        400: "invalid_request_error",
        402: "billing_error",
        408: "invalid_request_error",
        409: "invalid_request_error",
        413: "request_too_large",
        415: "invalid_request_error",
        422: "invalid_request_error",
        429: "rate_limit_error",
        500: "api_error",
        502: "api_error",
        503: "overloaded_error",
        504: "timeout_error",
        529: "overloaded_error",
    },
    CHAT: {
        400: ("invalid_request_error", None),
        401: ("authentication_error", "invalid_api_key"),
        408: ("invalid_request_error", None),
        409: ("invalid_request_error", None),
        413: ("invalid_request_error", None),
        422: ("invalid_request_error", None),
        429: ("rate_limit_error", "rate_limit_exceeded"),
        500: ("server_error", "server_error"),
        503: ("server_error", "service_unavailable"),
        504: ("server_error", "timeout"),
    },
    GOOGLE: {
        400: "INVALID_ARGUMENT",
        408: "DEADLINE_EXCEEDED",
        409: "ABORTED",
        413: "INVALID_ARGUMENT",
        422: "INVALID_ARGUMENT",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        501: "UNIMPLEMENTED",
        502: "UNAVAILABLE",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    },
}


def test_each_status_has_the_word_that_the_service_uses_for_it() -> None:
    anthropic, chat, google = (wire_of(name) for name in ("anthropic_messages", "openai_chat", "google_generate"))
    assert {status: anthropic.error(status, "a")["error"]["type"] for status in WORDS[MESSAGES]} == WORDS[MESSAGES]
    found = {status: chat.error(status, "a")["error"] for status in WORDS[CHAT]}
    assert {status: (error["type"], error["code"]) for status, error in found.items()} == WORDS[CHAT]
    assert {status: google.error(status, "a")["error"]["status"] for status in WORDS[GOOGLE]} == WORDS[GOOGLE]


@pytest.mark.parametrize("path", [MESSAGES, CHAT, RESPONSES])
def test_every_answer_has_an_id_in_its_headers(open_session: Opener, both: Bench, path: str) -> None:
    name = "request-id" if path == MESSAGES else "x-request-id"
    scripted = open_session("[{text: a}, {fail: {status: 429}}]")
    answers = [scripted.ask(path), scripted.ask(path, 1), scripted.ask(path, model="other"), both.open().ask(path)]
    answers.append(scripted.client.get("/v1/models", headers=ANTHROPIC if path == MESSAGES else {}))
    ids = [answer.headers[name] for answer in answers]
    assert len(set(ids)) == len(ids)
    if path == MESSAGES:
        assert [answer.json()["request_id"] for answer in answers[1:3]] == ids[1:3]


def test_an_id_of_the_service_itself_is_passed_on(both: Bench) -> None:
    session = both.open()
    with both.upstream.behaving(headers={"request-id": "req_own"}):
        assert session.ask(MESSAGES).headers["request-id"] == "req_own"


@PATHS
def test_a_packed_body_is_refused_in_the_form_of_the_wire(open_session: Opener, path: str) -> None:
    sent = gzip.compress(json.dumps(conversation(path, 0, stream=False)).encode())
    client = open_session().client
    answer = client.post(address(path, stream=False), content=sent, headers={"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert "gzip" in answer.json()["error"]["message"]

"""Only what the pinned CLIs need goes to a model's service: their own wire and model, and listed fields and headers."""

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gateway.allowlist import LISTS, AllowList, Listed, NotAllowed, allow_list, read_list
from tests.support.forwarding import Bench
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, Session, address, conversation
from tests.support.scripted_gateway import PATHS
from tests.support.stand_in_upstream import Upstream

WIRES = {MESSAGES: "anthropic_messages", CHAT: "openai_chat", RESPONSES: "openai_responses", GOOGLE: "google_generate"}
HOST = "https://elsewhere.example.org/x.png"


@pytest.fixture(scope="module")
def session(both: Bench) -> Session:
    return both.open()


def ask(session: Session, path: str, more: dict[str, Any]) -> Any:
    """Ask without streaming, with these fields in the body."""
    return session.client.post(address(path, stream=False), json=conversation(path, 0, stream=False) | more)


def let_through(upstream: Upstream, session: Session, cases: Iterable[tuple[str, dict[str, Any]]]) -> list[Any]:
    """Return the cases that are not refused with the wire's own error, or that reach the service."""
    found = []
    for path, more in cases:
        with upstream.behaving():
            answer = ask(session, path, more)
            if answer.status_code != 400 or not answer.json()["error"]["message"] or upstream.requests:
                found.append((path, more, answer.text))
    return found


# Fields of the body

UNKNOWN: list[tuple[str, dict[str, Any]]] = [
    *(
        (path, {name: value})
        for path in WIRES
        for name, value in {
            "unheard_of": 1,
            "Tools": [],
            "tools ": [],
            "connectors": [{"id": "web-search"}],
            "search_parameters": {"mode": "on"},
            "enable_search": True,
            "web_search": True,
            "web_search_options": {},
            "service_tier": "priority",
            "extra_body": {"n": 5},
            "provider": {"order": ["elsewhere"]},
            "models": ["other"],
            "fallbacks": ["other"],
            "api_base": HOST,
            "base_url": HOST,
            "api_key": "x",
            "callback_url": HOST,
            "guardrails": ["x"],
            "mock_response": "free",
            "__proto__": {},
            "constructor": {},
            "": 1,
            "metadata\u0000": {},
        }.items()
    ),
    (CHAT, {"functions": [{"name": "bash", "parameters": {}}]}),
    (CHAT, {"store": True}),
    (CHAT, {"best_of": 3}),
    (CHAT, {"documents": [{"url": HOST}]}),
    (CHAT, {"chat_template": "{{ x }}"}),
    (CHAT, {"chat_template_kwargs": {"tools": []}}),
    (CHAT, {"guided_json": {"$ref": HOST}}),
    (CHAT, {"tools": [{"type": "web_search"}]}),
    (CHAT, {"tools": [{"type": "function", "function": {"name": "a"}, "url": HOST}]}),
    (CHAT, {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"$ref": HOST}}}]}),
    (RESPONSES, {"previous_response_id": "resp_1"}),
    (RESPONSES, {"conversation": "conv_1"}),
    (RESPONSES, {"prompt": {"id": "pmpt_1"}}),
    (RESPONSES, {"store": True}),
    (RESPONSES, {"include": ["web_search_call.action.sources"]}),
    (RESPONSES, {"tools": [{"type": "function", "name": "a", "parameters": {}, "server_url": HOST}]}),
    (RESPONSES, {"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "mcp", "server_url": HOST}]}]}),
    (MESSAGES, {"container": "container_1"}),
    (MESSAGES, {"mcp_servers": [{"type": "url", "url": HOST}]}),
    (MESSAGES, {"context_management": {"edits": [{"type": "compact_20260112"}]}}),
    (MESSAGES, {"tools": [{"name": "a", "input_schema": {}, "type": "code_execution_20250825"}]}),
    (MESSAGES, {"tools": [{"name": "a", "input_schema": {}, "allowed_callers": ["code_execution_20250825"]}]}),
    (GOOGLE, {"cachedContent": "cachedContents/1"}),
    (GOOGLE, {"cached_content": "cachedContents/1"}),
    (GOOGLE, {"generation_config": {"response_modalities": ["IMAGE"]}}),
    (GOOGLE, {"generation_config": {"maxOutputTokens": 3}, "generationConfig": {}}),
    (GOOGLE, {"generationConfig": {"responseModalities": ["IMAGE"]}}),
    (GOOGLE, {"tools": [{"googleSearch": {}}]}),
    (GOOGLE, {"tools": [{"functionDeclarations": [{"name": "a"}], "urlContext": {}}]}),
    (GOOGLE, {"labels": {"a": "b"}}),
]


def test_a_field_that_is_not_listed_is_refused(upstream: Upstream, session: Session) -> None:
    assert let_through(upstream, session, UNKNOWN) == []


def test_a_refusal_names_the_field_and_what_to_do(session: Session) -> None:
    said = ask(session, CHAT, {"metadata": {"user": "me"}}).json()["error"]["message"]
    assert "the field body.metadata does not go" in said
    assert "add 'body.metadata' to gateway.extra_fields in conf/config.yaml" in said
    tool = {"type": "function", "function": {"name": "a", "x\x1b[2J": 1}}
    nested = ask(session, CHAT, {"tools": [tool]}).json()["error"]["message"]
    assert "body.tools[].function.x\\x1b[2J" in nested


def content(path: str, *blocks: Any) -> dict[str, Any]:
    """Return the field with a conversation of these blocks."""
    if path == GOOGLE:
        return {"contents": [{"role": "user", "parts": list(blocks)}]}
    return {"input" if path == RESPONSES else "messages": [{"role": "user", "content": list(blocks)}]}


BLOCKS: list[tuple[str, dict[str, Any]]] = [
    *(
        (CHAT, {"type": "image_url", "image_url": {"url": url}})
        for url in (
            HOST,
            "//elsewhere.example.org/x.png",
            "\\\\elsewhere\\x.png",
            "file:///etc/passwd",
            "elsewhere.example.org",
            "ftp:x",
            " data:image/png;base64,x",
            "gs://bucket/x",
        )
    ),
    (CHAT, {"type": "image_url", "image_url": "//elsewhere.example.org/x.png"}),
    (CHAT, {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,x"}}),
    (CHAT, {"type": "file", "file": {"file_id": "file-1"}}),
    (CHAT, {"type": "input_audio", "input_audio": {"data": "//elsewhere/x", "format": "wav"}}),
    (RESPONSES, {"type": "input_image", "image_url": "//elsewhere.example.org/x.png"}),
    (RESPONSES, {"type": "input_image", "file_id": "file-1"}),
    (RESPONSES, {"type": "input_file", "file_url": "//elsewhere.example.org/x.pdf"}),
    (MESSAGES, {"type": "image", "source": {"type": "url", "url": "//elsewhere.example.org/x.png"}}),
    (MESSAGES, {"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
    (MESSAGES, {"type": "container_upload", "file_id": "file_1"}),
    (MESSAGES, {"type": "web_search_tool_result", "content": []}),
    (MESSAGES, {"type": "server_tool_use", "name": "web_search", "input": {}}),
    (GOOGLE, {"fileData": {"fileUri": "files/1"}}),
    (GOOGLE, {"file_data": {"file_uri": "//elsewhere"}}),
    (GOOGLE, {"executableCode": {"code": "1"}}),
]

ITEMS: list[dict[str, Any]] = [
    {"type": "item_reference", "id": "msg_1"},
    {"type": "mcp_approval_response", "approve": True},
    {"type": "additional_tools", "role": "developer", "tools": [{"type": "mcp", "server_url": HOST}]},
    {"type": "computer_call_output", "output": {"image_url": HOST}},
]


def test_content_that_is_fetched_stored_or_run_elsewhere_is_refused(upstream: Upstream, session: Session) -> None:
    assert let_through(upstream, session, ((path, content(path, block)) for path, block in BLOCKS)) == []
    items = ((RESPONSES, {"input": [{"role": "user", "content": "go"}, item]}) for item in ITEMS)
    assert let_through(upstream, session, items) == []


LISTED: list[tuple[str, dict[str, Any]]] = [
    (CHAT, content(CHAT, {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}})),
    (CHAT, {"tool_choice": "auto", "parallel_tool_calls": True, "reasoning_effort": "high", "stop": None}),
    (CHAT, {"messages": [{"role": "user", "content": "go", "cache_control": {"type": "ephemeral"}}]}),  # by OpenCode
    (RESPONSES, content(RESPONSES, {"type": "input_image", "image_url": "data:image/png;base64,eA=="})),
    (RESPONSES, {"store": False, "include": ["reasoning.encrypted_content"], "tool_choice": "auto"}),
    (
        RESPONSES,
        {"input": [{"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x", "content": None}]},
    ),
    (
        MESSAGES,
        content(MESSAGES, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}}),
    ),
    (MESSAGES, {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}], "top_k": 1}),
    (MESSAGES, content(MESSAGES, {"type": "thinking", "thinking": "x", "signature": "y"})),
    (GOOGLE, content(GOOGLE, {"inlineData": {"mimeType": "image/png", "data": "eA=="}})),
    (GOOGLE, {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}, "maxOutputTokens": 5}}),
]


def test_what_a_cli_sends_reaches_the_service_unchanged(upstream: Upstream, session: Session) -> None:
    for path, more in LISTED:
        with upstream.behaving():
            answer = ask(session, path, more)
            assert answer.status_code == 200, answer.text
            assert upstream.requests[0].json == conversation(path, 0, stream=False) | more


@PATHS
def test_arguments_of_tools_may_be_anything(upstream: Upstream, session: Session, path: str) -> None:
    free = {"url": HOST, "n": 128, "deep": [{"type": "web_search", "$ref": HOST}]}
    body = json.dumps(conversation(path, 1, stream=False)).replace('"input": {}', f'"input": {json.dumps(free)}')
    body = body.replace('"args": {}', f'"args": {json.dumps(free)}')
    with upstream.behaving():
        assert session.client.post(address(path, stream=False), content=body).status_code == 200
        assert upstream.requests[0].json == json.loads(body)


# The project's own exceptions


@PATHS
def test_the_project_can_let_more_through(both: Bench, path: str) -> None:
    session = both.open(extra_fields=("body.metadata", "headers.X-Team", "query.trace"))
    session.client.headers.update({"x-team": "ours", "x-other": "theirs"})
    where = address(path, stream=False)
    where += ("&" if "?" in where else "?") + "trace=1"
    with both.upstream.behaving():
        body = conversation(path, 0, stream=False) | {"metadata": {"user": {"name": "me"}}}
        assert session.client.post(where, json=body).status_code == 200
        [came] = both.upstream.requests
    assert (came.json, came.path) == (body, where)
    assert came.headers["x-team"] == "ours"
    assert "x-other" not in came.headers


# Headers

HEADERS = {
    "x-portkey-custom-host": HOST, "x-portkey-config": "{}", "helicone-target-url": HOST, "helicone-auth": "Bearer x",
    "x-original-url": "/v1/files", "x-rewrite-url": "/v1/files", "x-original-host": "x", "x-forwarded-host": "x",
    "x-http-method-override": "DELETE", "x-goog-user-project": "theirs", "openai-organization": "theirs",
    "x-litellm-api-base": HOST, "x-stainless-lang": "js", "cookie": "a=b", "authorization": "Bearer sealed",
    "x-unheard-of": "1", "anthropic-workspace": "theirs", "proxy-authorization": "Basic eA==", "range": "bytes=0-1",
    "content-encoding": "identity", "x-goog-api-key": "sealed", "forwarded": "host=elsewhere", "te": "trailers",
}  # fmt: skip


@PATHS
def test_a_header_that_is_not_listed_is_dropped(upstream: Upstream, session: Session, path: str) -> None:
    headers = HEADERS | {"accept": "*/*", "content-type": "application/json; charset=utf-7", "user-agent": "cli/1"}
    with upstream.behaving():
        where, body = address(path, stream=False), conversation(path, 0, stream=False)
        assert session.client.post(where, content=json.dumps(body), headers=headers).status_code == 200
        [came] = upstream.requests
    assert came.headers.keys() <= {"accept", "user-agent", "accept-encoding", "content-type", "content-length", "host",
                                   "connection", "authorization"}  # fmt: skip
    assert came.headers["content-type"] == "application/json"
    assert (came.headers["accept"], came.headers["user-agent"]) == ("*/*", "cli/1")
    assert "sealed" not in str(came)


def test_a_beta_of_the_service_that_is_not_listed_is_dropped(upstream: Upstream, session: Session) -> None:
    listed = "interleaved-thinking-2025-05-14"
    with upstream.behaving():
        for betas in (f"mcp-client-2025-11-20, {listed},files-api-2025-04-14", "context-1m-2025-08-07"):
            headers = {"anthropic-beta": betas, "anthropic-version": "2023-06-01"}
            session.client.post(MESSAGES, json=conversation(MESSAGES, 0, stream=True), headers=headers)
        some, none = upstream.requests
    assert (some.headers["anthropic-beta"], some.headers["anthropic-version"]) == (listed, "2023-06-01")
    assert "anthropic-beta" not in none.headers


# Queries, paths, wires and models

QUERIES = ("$httpHeaders=x-a%3Ab", "fields=candidates", "beta=false", "uploadType=media", "a", "alt=json")


@PATHS
def test_a_query_that_is_not_listed_is_refused(upstream: Upstream, session: Session, path: str) -> None:
    where, body = address(path, stream=True), conversation(path, 0, stream=True)
    with upstream.behaving():
        for query in QUERIES:
            answer = session.client.post(f"{where}{'&' if '?' in where else '?'}{query}", json=body)
            assert (query, answer.status_code, upstream.requests) == (query, 400, [])


def test_the_clis_own_key_is_dropped_from_the_query(upstream: Upstream, session: Session) -> None:
    with upstream.behaving():
        where = f"{GOOGLE}/demo:streamGenerateContent?key=sealed&alt=sse&access_token=sealed"
        session.client.post(where, json=conversation(GOOGLE, 0, stream=True))
        session.client.post(f"{MESSAGES}?beta=true", json=conversation(MESSAGES, 0, stream=True))
        assert [one.path for one in upstream.requests] == [
            f"{GOOGLE}/demo:streamGenerateContent?alt=sse",
            f"{MESSAGES}?beta=true",
        ]


PLACES = (
    "/v2/models/demo:generateContent",
    "/v1beta1/models/demo:generateContent",
    "/v1beta/models/demo:generateContent%3F:countTokens",
    "/v1beta/models/demo:generateContent%3Fa:generateContent",
    "/v1beta/models/%2e%2e/models/demo:generateContent",
    "/v1beta/models/models/demo:generateContent",
    "/v1beta/models/demo%00:generateContent",
    "/v1beta/tunedModels/demo:generateContent",
)


def test_another_path_to_a_wire_is_refused(upstream: Upstream, session: Session) -> None:
    with upstream.behaving(count=1):
        for where in PLACES:
            answer = session.client.post(where, json=conversation(GOOGLE, 0, stream=False))
            assert answer.status_code in {400, 404}, where
            assert upstream.requests == [], where


@PATHS
def test_only_the_cases_own_wire_is_served(both: Bench, path: str) -> None:
    session = both.open(wire=WIRES[path])
    with both.upstream.behaving(count=3):
        for other in WIRES:
            answer = session.ask(other)
            assert answer.status_code == (200 if path == other else 404)
            if path != other:
                assert WIRES[path] in answer.json()["error"]["message"]
        assert len(both.upstream.requests) == 1
        counted = session.client.post("/v1/messages/count_tokens", json=conversation(MESSAGES, 0, stream=False))
        assert counted.status_code == (200 if path == MESSAGES else 404)


@PATHS
def test_only_the_cases_own_model_is_served(upstream: Upstream, session: Session, path: str) -> None:
    with upstream.behaving():
        for model in ("demo2", "DEMO", "demo ", "x/demo", "demo/%2e%2e/other"):
            assert session.ask(path, model=model).status_code in {400, 404}
        assert upstream.requests == []


# The lists

DANGEROUS = (
    *("web_search:", "_url:\n", ".url:\n", "file_id", "fileUri", "previous_response_id", "mcp_servers"),
    *("cachedContent", "computer", "code_execution", "store: [true", "service_tier"),
)


@pytest.mark.parametrize("wire", WIRES.values())
def test_no_list_lets_a_service_fetch_store_or_run_anything(wire: str) -> None:
    text = (LISTS / f"{wire}.yaml").read_text()
    assert [word for word in DANGEROUS if word in text] == []


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(body=st.dictionaries(NAMES, TREES, min_size=1, max_size=3), wire=st.sampled_from(list(WIRES.values())))
def test_any_body_is_refused_or_listed_and_never_an_error(body: dict[str, Any], wire: str) -> None:
    listed, file = allow_list(wire), read_list(wire)
    [path, *_] = sorted(listed.paths("demo"))
    known = {re.split(r"[.\[]", place)[0] for part in (file.known, file.recorded) for place in part.body}
    said = ""
    try:
        listed.check(path, "", "demo", json.dumps(body).encode())
    except NotAllowed as refused:
        said = str(refused)
    assert said.isprintable()
    assert said or {name for name, value in body.items() if value is not None} <= known


@given(TREES)
def test_what_may_hold_anything_does(tree: Any) -> None:
    listed = AllowList("demo", [Listed(paths=("/",), body={"a.b[]": "json"})], ())
    listed.check("/", "", "demo", json.dumps({"a": {"b": [tree]}}).encode())
    with pytest.raises(NotAllowed, match=r"body\.a\.c"):
        listed.check("/", "", "demo", json.dumps({"a": {"b": [tree], "c": 1}}).encode())

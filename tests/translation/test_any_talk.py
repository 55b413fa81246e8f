"""Properties: any conversation reaches a model whole, and any answer comes back whole, between any two wires."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.gateway.messages import ModelRequest, Reply, ReplyToolCall, TokenCounts
from harness.gateway.routes import wire_of
from harness.gateway.translation.chat import Chat
from harness.gateway.translation.from_chat import from_chat
from harness.gateway.translation.hearing import Hearer
from harness.gateway.translation.speaking import speaker
from harness.gateway.translation.to_chat import to_chat
from harness.gateway.upstream_reader import UpstreamReader
from tests.translation.conftest import PAIRS
from tests.translation.conversations import Called, Said, Talk, Turn, expected, heard, said, written

pytestmark = pytest.mark.translate

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=80).map(
    lambda text: f"~{text}~"  # services themselves strip spaces, and refuse an empty text
)
names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,40}", fullmatch=True).filter(lambda name: name != "web_search")
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(texts, values, max_size=3)


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """Draw a conversation whose calls have different ids."""
    turns, number = [], 0
    for _ in range(draw(st.integers(0, 4))):
        calls = []
        for _ in range(draw(st.integers(1, 3))):
            number += 1
            answer = draw(texts)
            calls.append(Called(f"call_{number}", draw(names), draw(arguments), answer, draw(st.booleans())))
        turns.append(Turn(draw(texts | st.just("")), tuple(calls)))
    return Talk(draw(texts), draw(texts), tuple(turns))


@pytest.mark.parametrize(("wire", "spoken"), PAIRS)
@given(talk=talks())
def test_any_conversation_reaches_the_model_whole(wire: str, spoken: str, talk: Talk) -> None:
    body = written(wire, talk)
    wire_of(wire).parse(json.dumps(body).encode(), "/v1beta/models/demo:streamGenerateContent?alt=sse")
    sent = from_chat(to_chat(wire, body, "demo", spoken), "demo", spoken)
    assert heard(spoken, sent.body) == expected(talk)
    parsed = wire_of(spoken).parse(json.dumps(sent.body).encode(), sent.path)
    assert {tool.name for tool in parsed.tools} == set(talk.tools)


replies = st.builds(
    Reply,
    id=st.just("msg_1"),
    created=st.just(1),
    model=st.just("demo"),
    text=texts | st.just(""),
    calls=st.lists(st.tuples(names, arguments), max_size=3).map(
        lambda calls: tuple(ReplyToolCall(f"call_{at}th", name, given) for at, (name, given) in enumerate(calls))
    ),
    usage=st.builds(TokenCounts, input_tokens=st.integers(1, 10**6), output_tokens=st.integers(1, 10**6)),
    truncated=st.booleans(),
)


@pytest.mark.parametrize(("wire", "spoken"), PAIRS)
@given(reply=replies)
def test_any_answer_comes_back_whole(wire: str, spoken: str, reply: Reply) -> None:
    assume(reply.text or reply.calls)
    came = asyncio.run(_came(wire, spoken, reply))
    calls = [(call.call_id, call.name, json.dumps(call.arguments, sort_keys=True)) for call in reply.calls]
    assert said(wire, came) == Said(reply.text, tuple(calls))
    reader = UpstreamReader(wire_of(wire))
    reader.read(came)
    reader.finish()
    assert (reader.outcome.usage, reader.outcome.complete, reader.outcome.error) == (reply.usage, True, None)


async def _came(wire: str, spoken: str, reply: Reply) -> bytes:
    """Return an answer of a model that speaks one wire, as a client of the other gets it."""
    request = ModelRequest(model="demo", stream=True)
    chat: Chat = to_chat(wire, written(wire, Talk("Be brief.", "Go.")), "demo", spoken)
    hearer, reader = Hearer(spoken, "demo"), UpstreamReader(wire_of(spoken))

    async def chunks() -> AsyncIterator[Any]:
        for event in wire_of(spoken).events(reply, request):
            reader.read(event)
            for one in reader.take():
                if chunk := hearer.hear(one):
                    yield chunk
        for chunk in hearer.ends(reader.outcome.usage or TokenCounts()):
            yield chunk

    return b"".join([piece async for piece in speaker(wire, chat, request).events(chunks())])

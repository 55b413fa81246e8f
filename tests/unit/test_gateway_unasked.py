"""A Chat client that did not ask for the usage does not see it, and is metered nevertheless."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gateway.budget import Budget
from harness.gateway.messages import ModelRequest, Reply, TokenCounts
from harness.gateway.unasked import UsageHider
from harness.gateway.wires import openai_chat
from tests.support.gateway_client import CHAT, conversation
from tests.support.scripted_gateway import Opener, scripted_gateway

USAGE = TokenCounts(input_tokens=10, output_tokens=2)
REPLY = Reply(id="r", created=0, model="m", text="a" * 200, usage=USAGE)
TOLD = b"".join(openai_chat.events(REPLY, ModelRequest(model="m", stream=True)))
END = "data: [DONE]\n\n"


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Opener]:
    with scripted_gateway(tmp_path) as opener:
        yield opener


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@given(data=st.data())
def test_the_chunk_with_the_usage_alone_is_left_out_wherever_the_bytes_are_cut(
    newline: bytes, data: st.DataObject
) -> None:
    stream = TOLD.replace(b"\n", newline)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    hider = UsageHider()
    passed = [hider.feed(stream[start:end]) for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    events = (b"".join(passed) + hider.finish()).split(newline * 2)
    hidden = [event for event in stream.split(newline * 2) if event not in events]
    assert [json.loads(event[6:])["choices"] for event in hidden] == [[]]
    assert [event for event in stream.split(newline * 2) if event not in hidden] == events


@given(noise=st.binary())
def test_other_bytes_pass_unchanged(noise: bytes) -> None:
    hider = UsageHider()
    assert hider.feed(noise) + hider.finish() == noise


def test_a_scripted_stream_is_metered_for_a_client_that_did_not_ask(open_session: Opener) -> None:
    budget = Budget(tokens=1000)
    session = open_session("[{text: a, usage: {input_tokens: 990, output_tokens: 50}}]", budget=budget)
    body = conversation(CHAT, 0, stream=True)
    del body["stream_options"]
    answer = session.client.post(CHAT, json=body)
    assert answer.text.endswith(END), answer.text
    chunks = [json.loads(line[6:]) for line in answer.text.removesuffix(END).splitlines() if line]
    assert all(chunk["choices"] for chunk in chunks)
    assert budget.used.tokens == 1040
    assert "token_limit" in session.client.post(CHAT, json=body).json()["error"]["message"]

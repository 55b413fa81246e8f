"""Requests that no CLI sends, but a program of an agent can. They must not look like a failure of the model."""

import json
import tracemalloc
from typing import Any

import pytest

from tests.support.forwarding import Bench
from tests.support.gateway_client import address, conversation
from tests.support.scripted_gateway import PATHS


@PATHS
@pytest.mark.parametrize("value", ["2023-06-01é".encode(), b"a\tb", b"\xff\xfe", "ü".encode("latin-1")])
def test_a_header_that_cannot_be_sent_is_dropped(both: Bench, path: str, value: bytes) -> None:
    session = both.open()
    headers = [(name, value) for name in (b"user-agent", b"accept", b"anthropic-version", b"anthropic-beta")]
    for _ in range(5):
        where, body = address(path, stream=False), conversation(path, 0, stream=False)
        assert session.client.post(where, json=body, headers=headers).status_code == 200
    assert session.account.failures == 0
    assert session.account.last_failure is None


@PATHS
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_a_body_in_another_encoding_cannot_hide_its_values(both: Bench, path: str, encoding: str) -> None:
    """In UTF-16, one letter may look like a quotation mark, and all that follows like a string."""
    session = both.open()
    body: dict[str, Any] = conversation(path, 0, stream=False) | {"metadata": {"Ģ": [[]] * 1_000_000}}
    for where in (address(path, stream=False), "/api/show"):
        sent = json.dumps(body, ensure_ascii=False).encode(encoding)
        tracemalloc.start()
        try:
            assert session.client.post(where, content=sent).status_code in {400, 413}
            assert tracemalloc.get_traced_memory()[1] < len(sent) + 60_000_000
        finally:
            tracemalloc.stop()

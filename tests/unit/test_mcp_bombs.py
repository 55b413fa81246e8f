"""Calls of the MCP server's tools that would take much of the harness's memory."""

import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from harness.http_host import HttpHost
from harness.mcp.tools import ToolFault
from tests.unit.test_mcp_server import Session


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with HttpHost() as host, closing(Session(tmp_path, host)) as session:
        yield session


def test_a_long_key_is_not_repeated_for_each_value_below_it(session: Session) -> None:
    state = {"k" * 100_000: [0.0] * 10_000 + [1e12]}
    tracemalloc.start()
    try:
        with pytest.raises(ToolFault, match=r"bad state: state\.kkk.*\[10000\] must be a number") as refused:
            session.tools.render_state(0, state, "x")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000, "bytes at the peak"
    finally:
        tracemalloc.stop()
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("argument", ["state", "seed", "max_steps"])
def test_json_in_a_string_takes_little_memory(session: Session, argument: str) -> None:
    tool = "render_policy" if argument == "max_steps" else "render_state"
    bomb = "[" + "[]," * 5_000_000 + "[]]"
    call = {"name": tool, "arguments": {"seed": 0, argument: bomb}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    accept = {"accept": "application/json, text/event-stream"}
    tracemalloc.start()
    try:
        assert httpx2.post(session.url, json=request, headers=accept).status_code == 413
        assert tracemalloc.get_traced_memory()[1] < 100_000_000, "bytes at the peak, the client's own among them"
    finally:
        tracemalloc.stop()

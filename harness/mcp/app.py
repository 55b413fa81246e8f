"""The MCP server of one session: the environment's tools over streamable HTTP."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import anyio
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field
from starlette.applications import Starlette

from harness.environment_conf import TOOLS, ToolName
from harness.http_intake import Intake
from harness.mcp.names import NAME
from harness.mcp.tools import MAX_FRAMES, MAX_SEED, ROLLOUT_S, EnvironmentTools, ToolAnswer, ToolFault

PATH = "/mcp"

MAX_BODY: Final = 512 * 1024
"""The most bytes that a call may have. The largest thing in one is a state.

An argument may be JSON in a string, which the package of the MCP server parses, too. There, nobody has counted the
values beforehand. So a call must be small enough that any number of them can do no harm.
"""
MAX_HELD: Final = 4 * MAX_BODY
"""The most bytes that all open calls may have together."""

_Seed = Annotated[int, Field(description=f"0 to {MAX_SEED}")]
_State = Annotated[
    dict[str, Any] | list[Any] | None,
    Field(description="a state to draw instead of the seed's first one, in the form of the environment's state"),
]
_Label = Annotated[str, Field(description="goes into the picture's file name")]
_Folder = Annotated[str, Field(description="the directory that holds approach.py; . is your workspace")]
_Steps = Annotated[int, Field(description="steps at most; the environment's own limit holds too")]
_FrameCount = Annotated[int, Field(description=f"pictures at most, 1 to {MAX_FRAMES}, evenly spaced over the episode")]

_STATE_TEXT = (
    "Draw the initial state of a seed, or a state that you give. Returns the picture, its path, and the state."
)
_POLICY_TEXT = (
    "Run the program approach.py in a directory of your workspace for one episode. "
    "Returns whether it solved the episode, steps and total reward or its error, and pictures of the episode. "
    f"Stops after {ROLLOUT_S:g} seconds."
)


def digest(offered: Sequence[ToolName]) -> str:
    """Return the SHA-256 of the names, descriptions and arguments of these tools, in hexadecimal."""
    declared = anyio.run(_server(_not_served, offered).list_tools)
    facts = [[tool.name, tool.description, tool.input_schema] for tool in declared]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def build_app(tools: EnvironmentTools, offered: Sequence[ToolName] = TOOLS) -> Starlette:
    """Return the ASGI app that offers some of `tools` at `PATH`.

    Serve it on a loopback address: it refuses other hosts.
    """
    server = _server(lambda: tools, offered)
    return server.streamable_http_app(streamable_http_path=PATH, json_response=True, stateless_http=True)


def intake() -> Intake:
    """Return the bounds for what the app's clients send."""
    return Intake(max_body=MAX_BODY, max_held=MAX_HELD)


def _server(tools: Callable[[], EnvironmentTools], offered: Sequence[ToolName]) -> MCPServer[Any]:
    def render_state(seed: _Seed, state: _State = None, label: _Label = "state") -> list[Any]:
        return _answer(lambda: tools().render_state(seed, state, label))

    def render_policy(
        approach_dir: _Folder = ".", seed: _Seed = 0, max_steps: _Steps = 1000, max_frames: _FrameCount = 4
    ) -> list[Any]:
        return _answer(lambda: tools().render_policy(approach_dir, seed, max_steps, max_frames))

    with _logging_left_alone():
        server: MCPServer[Any] = MCPServer(NAME, log_level="WARNING")
    # Plain functions, not coroutines: the package runs them on worker threads, so a long episode blocks no event loop.
    calls: dict[ToolName, tuple[Callable[..., Any], str]] = {
        "render_state": (render_state, _STATE_TEXT),
        "render_policy": (render_policy, _POLICY_TEXT),
    }
    for name in offered:
        call, description = calls[name]
        server.add_tool(call, description=description, structured_output=False)
    return server


def _not_served() -> EnvironmentTools:
    raise ToolFault("these tools are not served")


def _answer(call: Callable[[], ToolAnswer]) -> list[Any]:
    """Return the text and the pictures of a tool's answer. Raise `ToolError`, which reaches the agent."""
    try:
        shown = call()
    except ToolFault as error:
        raise ToolError(str(error)) from error
    return [shown.text, *(Image(data=picture.png, format="png") for picture in shown.pictures)]


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    """Keep `MCPServer` from configuring the root logger, which it does if that logger has no handler."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)

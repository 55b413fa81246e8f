"""The scripted provider leaves out optional calls of tools that a CLI does not offer."""

from __future__ import annotations

import asyncio
import json

from harness.gateway.messages import ModelRequest, OfferedTool
from harness.gateway.provider import Call
from harness.gateway.script import Script, ScriptedCall, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.wires import openai_responses

SHELL = OfferedTool("shell", {"properties": {"command": {}}})
LOOK = OfferedTool("mcp__maze.look", {})
LOOKS = ScriptedCall(mcp="look", optional=True)
SCRIPT = Script(
    (
        ScriptedTurn(text="I look.", calls=(LOOKS,)),
        ScriptedTurn(text="Both.", calls=(LOOKS, ScriptedCall(run="ls"))),
        ScriptedTurn(text="Done."),
    )
)


def played(*tools: OfferedTool, turn: int) -> tuple[str, list[str]]:
    """Return the text and the called tools of a turn, for a CLI that offers these tools."""
    request = ModelRequest(model="m", stream=False, tools=tools, turn=turn)
    call = Call(request=request, wire=openai_responses, path="/v1/responses", headers={}, body=b"{}", workspace="/w")

    async def body() -> bytes:
        answer = await ScriptedProvider(SCRIPT).answer(call)
        return b"".join([chunk async for chunk in answer.chunks])

    message, *calls = json.loads(asyncio.run(body()))["output"]
    return message["content"][0]["text"], [item["name"] for item in calls]


def test_optional_calls_are_made_if_their_tools_are_offered() -> None:
    assert [played(SHELL, LOOK, turn=turn) for turn in range(3)] == [
        ("I look.", ["look"]),
        ("Both.", ["look", "shell"]),
        ("Done.", []),
    ]


def test_without_the_tool_optional_calls_and_then_empty_turns_are_left_out() -> None:
    assert [played(SHELL, turn=turn) for turn in range(2)] == [("Both.", ["shell"]), ("Done.", [])]

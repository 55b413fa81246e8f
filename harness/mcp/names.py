"""The names under which the environment's MCP server and its tools are known. Reading them imports nothing heavy."""

from __future__ import annotations

from typing import Final

NAME: Final = "environment"
"""The server's name: Claude shows its tools as mcp__environment__render_state, OpenCode as environment_render_state."""

TOOLS: Final = ("render_state", "render_policy")

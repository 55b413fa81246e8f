"""The name of the environment's MCP server. Reading it imports nothing heavy."""

from __future__ import annotations

from typing import Final

NAME: Final = "environment"
"""The server's name: Claude shows its tools as mcp__environment__render_state, OpenCode as environment_render_state."""

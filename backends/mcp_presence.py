"""Which MCP servers were absent from a session, by what its CLI tells and by the tools that answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from backends.base import plain_name

NOT_LISTED = "not listed"
"""The status of a server that the CLI was configured with and leaves out of its list."""
_NOT_ABSENT = frozenset({"connected", "disabled", "pending"})
"""What an MCP server may be without its tools being missed."""


def absent(servers: Mapping[str, str], answered_tools: Iterable[str]) -> dict[str, str]:
    """Return the servers whose tools were missing, and their status. A server of which a tool answered was there."""
    missed = {server: status for server, status in servers.items() if status not in _NOT_ABSENT}
    there = {_server_of(tool, servers) for tool in answered_tools} if missed else set()
    return {server: status for server, status in missed.items() if server not in there}


def _server_of(tool: str, servers: Iterable[str]) -> str | None:
    """Return the server to which a tool belongs by its name: the one with the longest name that fits, or `None`."""
    return max((server for server in servers if tool.startswith(_prefixes(server))), key=len, default=None)


def _prefixes(server: str) -> tuple[str, ...]:
    """Return what the names of a server's tools begin with, in all the CLIs."""
    plain = plain_name(server)
    return f"mcp__{plain}__", f"mcp__{plain}.", f"mcp_{plain}_", f"{plain}_", f"{plain}."

"""The MCP server with the tools that an agent may call."""

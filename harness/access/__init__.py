"""What an agent gets of its environment besides the tools: its source, or a client for a black box."""

"""Attempts to escape. They run inside a room, and need only the standard library."""

"""Keeps secrets of the host out of what a session leaves: how a secret may be written, hiding it, and finding it."""

"""Folders that an agent could write to: how to walk, copy, pack and remove them. Nothing in them is followed or run."""

"""Sandboxes, which seal a process in, and the probe that tells whether they work on this machine."""

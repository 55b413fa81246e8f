"""Decides which worker runs which case."""

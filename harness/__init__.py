"""Proctor: an evaluation harness for coding agents, as a pytest suite."""

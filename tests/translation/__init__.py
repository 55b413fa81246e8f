"""Tests of the translation between wires. They need the extra `translate`: `make translate`."""

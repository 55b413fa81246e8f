"""The problems: one protocol, and an adapter for each family."""

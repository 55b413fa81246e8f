"""The configuration, and the cases that it makes."""

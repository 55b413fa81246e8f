"""Tests of what a user installs and calls: the wheel, the `proctor` command, and the set-up of a machine."""

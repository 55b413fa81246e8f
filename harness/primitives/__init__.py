"""Primitives: what a program may be given to play with, such as motion planning."""

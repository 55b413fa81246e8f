"""Loads Proctor's plugin if Proctor is not installed. pytest itself loads an installed plugin.

`pytest --help` lists the options and `pytest --fixtures` the fixtures. pytest refuses to load a plugin twice.
"""

from importlib.metadata import entry_points

pytest_plugins = [] if entry_points(group="pytest11", name="proctor") else ["harness.fixtures", "harness.plugin"]

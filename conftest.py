"""Loads Proctor's plugin where Proctor is not installed; an installed plugin is loaded by pytest itself.

`pytest --help` lists the options and `pytest --fixtures` the fixtures. pytest refuses to load a plugin twice.
"""

from importlib.metadata import entry_points

pytest_plugins = [] if entry_points(group="pytest11", name="proctor") else ["harness.fixtures", "harness.plugin"]

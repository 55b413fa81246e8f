"""Loads Proctor's plugin in a checkout that is not installed. In an installed one (`make setup`) pytest loads it itself.

`pytest --help` lists the options and `pytest --fixtures` the fixtures. pytest refuses to load a plugin twice.
"""

from importlib.metadata import entry_points

pytest_plugins = [] if entry_points(group="pytest11", name="proctor") else ["harness.fixtures", "harness.plugin"]

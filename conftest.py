"""Makes `pytest` in this folder Proctor even where the folder was not installed, as `make setup` does.

`pytest --help` lists the options and `pytest --fixtures` the fixtures. An installed Proctor is a plugin already, and
pytest refuses to load a plugin under two names.
"""

from importlib.metadata import entry_points

pytest_plugins = [] if entry_points(group="pytest11", name="proctor") else ["harness.fixtures", "harness.plugin"]

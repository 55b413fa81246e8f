"""Makes `pytest` in this folder Proctor: `pytest --help` lists its options, `pytest --fixtures` its fixtures."""

pytest_plugins = ["harness.fixtures", "harness.plugin"]

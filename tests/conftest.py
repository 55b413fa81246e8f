"""Configures hypothesis: every CI run uses the same examples, and the nightly run thousands of new ones."""

import os
from importlib.util import find_spec

from hypothesis import HealthCheck, Phase, settings

collect_ignore = [] if find_spec("litellm") else ["translation"]
"""Its conftest needs the extra `translate`."""

_SLOW_MACHINE = [HealthCheck.too_slow]  # a shared machine may be slow, which says nothing about the code

settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=_SLOW_MACHINE)
settings.register_profile("nightly", deadline=None, max_examples=2000, suppress_health_check=_SLOW_MACHINE)
settings.register_profile("thorough", deadline=None, max_examples=10_000, suppress_health_check=_SLOW_MACHINE)
settings.register_profile(  # an example strikes a real run, so it takes seconds and never happens twice alike
    "faults",
    deadline=None,
    max_examples=int(os.environ.get("FAULT_DRAWS", "16")),
    phases=[Phase.generate],
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("ci")

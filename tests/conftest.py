"""How hypothesis searches: the same examples on every run of CI, thousands of new ones at night."""

from hypothesis import HealthCheck, settings

_SLOW_MACHINE = [HealthCheck.too_slow]  # shared machines are slow at times, which says nothing of the code

settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=_SLOW_MACHINE)
settings.register_profile("nightly", deadline=None, max_examples=2000, suppress_health_check=_SLOW_MACHINE)
settings.register_profile("thorough", deadline=None, max_examples=10_000, suppress_health_check=_SLOW_MACHINE)
settings.load_profile("ci")

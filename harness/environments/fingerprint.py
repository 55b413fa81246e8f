"""The fingerprint of an environment: equal as long as the same seeds and actions show the same.

It tells that a package has changed a problem without changing the problem's name.
"""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import Struct

from harness.environment_conf import EnvironmentConf
from harness.environments.base import Environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed
from harness.environments.looking import look, put_together

_FINGERPRINT_TRIES = 2


class Fingerprint(Struct, frozen=True):
    """A SHA-256 in hexadecimal, or why there is none."""

    digest: str | None
    fault: str | None = None


_taken: dict[bytes, Fingerprint] = {}


def fingerprint(conf: EnvironmentConf, environment: Environment) -> Fingerprint:
    """Return the fingerprint of an environment, which must be reset before it is used again.

    It is taken once in each process for each configuration: from the spaces, the first observations of some public
    seeds, and what a few fixed actions lead to. Floats count with four significant digits, and below a millionth as 0,
    so that the rounding of another machine makes no difference.
    """
    key = msgspec.json.encode(conf)
    if key not in _taken:
        _taken[key] = _take(environment)
    return _taken[key]


def _take(environment: Environment) -> Fingerprint:
    if not isinstance(environment, HostedEnvironment):
        return Fingerprint(*look(environment))
    fault = ""
    for _ in range(_FINGERPRINT_TRIES):  # the process may have been killed by accident
        try:
            return Fingerprint(*put_together(partial(environment.run, "harness.environments.looking:look_at")))
        except EnvironmentFailed as error:
            fault = " ".join(str(error).split())
    return Fingerprint(None, fault)

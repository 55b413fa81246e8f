"""Makes an environment from its configuration, in the environment's own process.

This file needs only the standard library, NumPy, and what the adapter imports.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from harness.environments.arguments import Described, check_arguments
from harness.environments.base import Environment
from harness.environments.counted import CountedEnvironment
from harness.environments.fidelity import fidelity_of
from harness.environments.judged import JudgedEnvironment
from harness.environments.solved_when import parse_rule
from harness.imports import PackageMissing, load_object


def adapter_class(path: str) -> type[Any]:
    """Return the adapter class at an import path.

    Raise `PackageMissing`, or `ValueError` if it is not an adapter class.
    """
    found = load_object(path)
    if not isinstance(found, type):
        raise ValueError(f"an adapter is a class, and this is of type {type(found).__name__}")
    methods = [name for name, value in vars(Environment).items() if callable(value) and not name.startswith("_")]
    lacking = [name for name in methods if not callable(getattr(found, name, None))]
    if lacking:
        raise ValueError(f"this class is not an adapter: it lacks the methods {', '.join(lacking)}")
    return found


def make(conf: Described, path: str) -> Environment:
    """Return the environment that `conf` describes. `path` is the import path of its adapter.

    Raise `ValueError` for a class that is not an adapter, for wrong arguments, or for a missing package, and say what
    to do.
    """
    try:
        adapter = adapter_class(path)
    except PackageMissing as error:
        raise PackageMissing(f"environment {conf.name}: kind {conf.kind}: {error}") from error
    except ValueError as error:
        raise ValueError(f"environment {conf.name}: kind {conf.kind}: {error}") from error
    check_arguments(conf, inspect.signature(adapter))
    if type(conf.max_steps) is not int or conf.max_steps < 1:
        raise ValueError(f"environment {conf.name}: max_steps must be at least 1, not {conf.max_steps!r}")

    environment: Environment
    if conf.counts is None:
        environment = _made(conf, adapter, conf.max_steps)
    else:
        environment = CountedEnvironment(partial(_made, conf, adapter), conf.counts, conf.max_steps)
    rule = parse_rule(conf.solved_when)
    return environment if rule is None else JudgedEnvironment(environment, rule)


def _made(conf: Described, adapter: type[Any], max_steps: int, count: int | None = None) -> Environment:
    """Return the environment for a number of objects. Raise `ValueError` with the name of the environment."""
    try:
        environment: Environment = adapter(max_steps=max_steps, **conf.arguments_at(count))
    except ValueError as error:
        with_count = f", {conf.counts.argument} = {count}" if conf.counts else ""
        raise ValueError(f"environment {conf.name}{with_count}: {error}") from error
    if not hasattr(environment, "max_steps"):
        raise ValueError(f"environment {conf.name}: {adapter.__name__} must keep max_steps as an attribute")
    try:
        fidelity_of(environment)
    except ValueError as error:
        raise ValueError(f"environment {conf.name}: {adapter.__name__}: {error}") from error
    return environment

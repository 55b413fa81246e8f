"""From a configuration to its cases, in a stable order."""

from __future__ import annotations

from itertools import product

from backends.registry import backend as backend_named
from harness.case import Case, Exclusion
from harness.endings import ConfError
from harness.suite.config import Config


def cases(config: Config) -> list[Case]:
    """Every backend x model x environment x replicate of the suite that no rule excludes.

    Raises `ConfError` for a case that asks of its backend what it cannot do.
    """
    suite = config.suite
    replicates = range(1, suite.replicates + 1)
    found = [
        Case(
            id="-".join((backend, model, environment)) + (f"-r{replicate}" if suite.replicates > 1 else ""),
            backend=config.backend[backend],
            model=config.model[model],
            provider=config.provider[config.model[model].provider],
            wire=_wire(config, backend, model),
            environment=config.environment[environment],
            sandbox=config.sandbox,
            limits=config.limits,
            evaluation=config.evaluation,
            replicate=replicate,
        )
        for backend, model, environment in product(
            dict.fromkeys(suite.backends), dict.fromkeys(suite.models), dict.fromkeys(suite.environments)
        )
        if not any(_matches(rule, backend, model, environment) for rule in suite.exclude)
        for replicate in replicates
    ]
    for case in found:
        _require_capabilities(case, suite.name)
    return _by_server(found)


def _by_server(found: list[Case]) -> list[Case]:
    """The cases of one model server side by side, so that it need not be started twice; else in their order."""
    first = {case.server: number for number, case in reversed(list(enumerate(found)))}
    return sorted(found, key=lambda case: first[case.server])


def _wire(config: Config, backend: str, model: str) -> str:
    """The first wire of the model's provider that the backend speaks. Raises `ConfError` where there is none."""
    provider = config.provider[config.model[model].provider]
    spoken = backend_named(backend).capabilities.wires
    for wire in provider.wires:
        if wire in spoken:
            return wire
    raise ConfError(
        f"conf/suite/{config.suite.name}.yaml: {backend} cannot ask model {model}: it speaks {', '.join(spoken)}, and "
        f"provider {provider.name} (conf/provider/{provider.name}.yaml) {', '.join(provider.wires) or 'none'}; "
        f"add to suite.exclude: {{backend: {backend}, model: {model}}}"
    )


def _require_capabilities(case: Case, suite: str) -> None:
    backend, environment = case.backend.name, case.environment.name
    if case.environment.needs_mcp and not backend_named(backend).capabilities.mcp:
        raise ConfError(
            f"conf/suite/{suite}.yaml: {case.id} cannot run: environment {environment} needs MCP "
            f"(environment.{environment}.needs_mcp), and {backend} has none; "
            f"add to suite.exclude: {{backend: {backend}, environment: {environment}}}"
        )


def _matches(rule: Exclusion, backend: str, model: str, environment: str) -> bool:
    return rule.backend in (None, backend) and rule.model in (None, model) and rule.environment in (None, environment)

"""From a configuration to its cases, in a stable order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from harness.adapters import adapter_of
from harness.case import BackendConf, Case, EnvironmentConf, Exclusion, ModelConf, ProviderConf, SuiteConf
from harness.endings import ConfError
from harness.suite.config import Config


def cases(config: Config) -> list[Case]:
    """Return every backend x model x environment x replicate of the suite that no rule excludes.

    Raise `ConfError` for a case that asks of its backend what it cannot do.
    """
    with config.path.naming_files():
        found = list(_combined(config))
        for case in found:
            _require_capabilities(case, config.suite.name)
    return _by_server(found)


def _combined(config: Config) -> Iterator[Case]:
    suite = config.suite
    named = (config.backend.values(), config.model.values(), config.environment.values())
    for backend, model, environment in product(*named):
        if any(_matches(rule, backend, model, environment) for rule in suite.exclude):
            continue
        provider = config.provider[model.provider]
        wire = _wire(suite, backend, model, provider)
        for replicate in range(1, suite.replicates + 1):
            yield Case(
                id=_id(backend, model, environment) + (f"-r{replicate}" if suite.replicates > 1 else ""),
                backend=backend,
                model=model,
                provider=provider,
                wire=wire,
                environment=environment,
                sandbox=config.sandbox,
                limits=config.limits,
                evaluation=config.evaluation,
                replicate=replicate,
            )


def _id(backend: BackendConf, model: ModelConf, environment: EnvironmentConf) -> str:
    return f"{backend.name}-{model.name}-{environment.name}"


def _by_server(found: list[Case]) -> list[Case]:
    """Return the cases of one model server side by side, so that it is started once; the others keep their order."""
    first = {case.server: number for number, case in reversed(list(enumerate(found)))}
    return sorted(found, key=lambda case: first[case.server])


def _wire(suite: SuiteConf, backend: BackendConf, model: ModelConf, provider: ProviderConf) -> str:
    """Return the first wire of the model's provider that the backend speaks. Raise `ConfError` if there is none."""
    spoken = adapter_of(backend).capabilities.wires
    for wire in provider.wires:
        if wire in spoken:
            return wire
    raise ConfError(
        f"conf/suite/{suite.name}.yaml: {backend.name} cannot ask model {model.name}: it speaks {', '.join(spoken)}, "
        f"and provider {provider.name} (conf/provider/{provider.name}.yaml) {', '.join(provider.wires) or 'no wire'}; "
        f"add to suite.exclude: {{backend: {backend.name}, model: {model.name}}}"
    )


def _require_capabilities(case: Case, suite: str) -> None:
    backend, environment = case.backend.name, case.environment.name
    if case.environment.needs_mcp and not adapter_of(case.backend).capabilities.mcp:
        raise ConfError(
            f"conf/suite/{suite}.yaml: {case.id} cannot run: environment {environment} needs MCP "
            f"(environment.{environment}.needs_mcp), and {backend} has none; "
            f"add to suite.exclude: {{backend: {backend}, environment: {environment}}}"
        )


def _matches(rule: Exclusion, backend: BackendConf, model: ModelConf, environment: EnvironmentConf) -> bool:
    return (
        rule.backend in (None, backend.name)
        and rule.model in (None, model.name)
        and rule.environment in (None, environment.name)
    )

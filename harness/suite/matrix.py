"""Makes the cases of a configuration, in a stable order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

from harness.adapters import adapter_of
from harness.case import (
    MODEL_OF_NONE,
    NO_MODEL,
    PROVIDER_OF_NONE,
    BackendConf,
    Case,
    Exclusion,
    ModelConf,
    ProviderConf,
)
from harness.endings import ConfError
from harness.environment_conf import TOOLS, EnvironmentConf
from harness.gateway.translation.extra import EXTRA, can_translate
from harness.signing_conf import Subscription
from harness.suite.config import Config

_REMEDY: Final = f"run `proctor setup --extra {EXTRA}`, so that the gateway translates between them, or "


def cases(config: Config) -> list[Case]:
    """Return every backend x model x environment x replicate of the suite, except those that a rule excludes.

    A backend that grades a program has no model, and so one case for each environment and replicate. Raise `ConfError`
    for a case that its backend cannot run.
    """
    with config.path.naming_files():
        _require_wires(config)
        found = list(_combined(config))
        for case in filter(lambda case: case.has_agent, found):
            _require_capabilities(case, config.suite.name)
            _require_terms(case, config.suite.name)
            _require_overflow(case)
    return _by_server(found)


def _combined(config: Config) -> Iterator[Case]:
    suite = config.suite
    scripted = bool(config.model) and all(config.provider[model.provider].scripted for model in config.model.values())
    for backend, model, environment in _allowed(config):
        alone = model is MODEL_OF_NONE
        provider = PROVIDER_OF_NONE if alone else config.provider[model.provider]
        wire, translated = (NO_MODEL, None) if alone else _wire(backend, provider)
        for replicate in range(1, suite.replicates + 1):
            yield Case(
                id=_id(backend, model, environment) + (f"-r{replicate}" if suite.replicates > 1 else ""),
                backend=backend,
                model=model,
                provider=provider,
                wire=wire,
                environment=environment,
                prompt=config.prompt_of(environment),
                sandbox=config.sandbox,
                limits=config.limits,
                evaluation=config.evaluation.for_model(scripted=scripted if alone else provider.scripted),
                gateway=config.gateway,
                replicate=replicate,
                budget=suite.budget,
                translated=translated,
            )


def _allowed(config: Config) -> Iterator[tuple[BackendConf, ModelConf, EnvironmentConf]]:
    """Return the combinations, except those that a rule excludes."""
    for backend in config.backend.values():
        models = [MODEL_OF_NONE] if backend.kind == "program" else config.model.values()
        for model, environment in product(models, config.environment.values()):
            if not any(_matches(rule, backend, model, environment) for rule in config.suite.exclude):
                yield backend, model, environment


def _id(backend: BackendConf, model: ModelConf, environment: EnvironmentConf) -> str:
    parts = (backend, environment) if model is MODEL_OF_NONE else (backend, model, environment)
    return "-".join(part.name for part in parts)


def _by_server(found: list[Case]) -> list[Case]:
    """Return the cases with those of one model server together, so that it starts once. Others keep their order."""
    first = {case.server: number for number, case in reversed(list(enumerate(found)))}
    return sorted(found, key=lambda case: first[case.server])


def _wires(backend: BackendConf, provider: ProviderConf) -> list[str]:
    """Return the wires of a provider that the backend speaks, with the preferred one first."""
    spoken = adapter_of(backend).capabilities.wires
    return [wire for wire in provider.wires if wire in spoken]


def _wire(backend: BackendConf, provider: ProviderConf) -> tuple[str, str | None]:
    """Return the wire over which a backend asks, and the provider's own if the gateway must translate to it."""
    shared = _wires(backend, provider)
    return (shared[0], None) if shared else (adapter_of(backend).capabilities.wires[0], provider.wires[0])


def _require_wires(config: Config) -> None:
    """Raise `ConfError` if a backend speaks no wire of a model's provider, and this machine cannot translate.

    The message lists all rules that exclude this.
    """
    asking = ((backend, model) for backend, model, _ in _allowed(config) if model is not MODEL_OF_NONE)
    pairs = {(backend.name, model.name): (backend, model) for backend, model in asking}
    apart = [pair for pair in pairs.values() if not _wires(pair[0], config.provider[pair[1].provider])]
    silent = [pair for pair in apart if not config.provider[pair[1].provider].wires]
    if not apart or (can_translate() and not silent):
        return
    backend, model = (silent or apart)[0]
    provider = config.provider[model.provider]
    rules = (f"{{backend: {backend.name}, model: {model.name}}}" for backend, model in apart)
    raise ConfError(
        f"conf/suite/{config.suite.name}.yaml: {backend.name} cannot use model {model.name}: it speaks "
        f"{', '.join(adapter_of(backend).capabilities.wires)}, and provider {provider.name} "
        f"(conf/provider/{provider.name}.yaml) speaks {', '.join(provider.wires) or 'no wire'}; "
        f"{_REMEDY if provider.wires else ''}add to suite.exclude: {', '.join(rules)}"
    )


def _require_capabilities(case: Case, suite: str) -> None:
    backend, environment = case.backend.name, case.environment.name
    if case.environment.needs_mcp and not case.environment.tools:
        raise ConfError(
            f"conf/environment/{environment}.yaml: environment.{environment}.needs_mcp is true, and "
            f"environment.{environment}.tools is empty; offer a tool: {', '.join(TOOLS)}"
        )
    if case.environment.needs_mcp and not adapter_of(case.backend).capabilities.mcp:
        raise ConfError(
            f"conf/suite/{suite}.yaml: {case.id} cannot run: environment {environment} needs MCP "
            f"(environment.{environment}.needs_mcp), and {backend} does not support it; "
            f"add to suite.exclude: {{backend: {backend}, environment: {environment}}}"
        )


_SUBSCRIBED: Final[Mapping[Subscription, tuple[str, str]]] = {
    "claude": ("claude", "Anthropic's terms allow the token of a Claude subscription only in Claude Code"),
    "chatgpt": ("codex", "OpenAI offers to pay with a ChatGPT subscription only for Codex"),
}
"""The adapter of the CLI that each subscription is for, and why no other may use it."""


def _require_terms(case: Case, suite: str) -> None:
    """Raise `ConfError` for a subscription that pays for another CLI than its terms allow."""
    signing = case.provider.signing
    if signing is None or signing.subscription is None:
        return
    only, why = _SUBSCRIBED[signing.subscription]
    if adapter_of(case.backend).name != only:
        raise ConfError(
            f"conf/suite/{suite}.yaml: {case.id} cannot run: {why}, and provider {case.provider.name} is paid by one; "
            f"add to suite.exclude: {{backend: {case.backend.name}, model: {case.model.name}}}, or use a model of a "
            "provider with a key"
        )


def _require_overflow(case: Case) -> None:
    """Raise `ConfError` if the backend cannot do what the case asks for after an overflow."""
    can, wanted, backend = adapter_of(case.backend).capabilities, case.limits.on_overflow, case.backend.name
    able = {"end": True, "continue": can.resume, "compact": can.resume and can.compact}
    if not able[wanted]:
        lacks = "compact a conversation that it resumes" if can.resume else "resume a conversation"
        raise ConfError(
            f"conf/config.yaml: limits.on_overflow is {wanted}, and {backend} cannot {lacks}: "
            f"set it to end, or add to suite.exclude: {{backend: {backend}}}"
        )


def _matches(rule: Exclusion, backend: BackendConf, model: ModelConf, environment: EnvironmentConf) -> bool:
    return (
        rule.backend in (None, backend.name)
        and rule.model in (None, model.name)
        and rule.environment in (None, environment.name)
    )

"""The cases of `pytest --submission FOLDER` and `proctor grade`: environments without an agent."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from harness.case import SUBMISSION, BackendConf, Case, ModelConf, ProviderConf
from harness.suite.config import Config

_NONE = "none"
_BACKEND = BackendConf(SUBMISSION)
_MODEL = ModelConf(_NONE, _NONE)
_PROVIDER = ProviderConf(_NONE, kind="remote", wires=[])


def without_agent(cases: Iterable[Case], replicates: int) -> list[Case]:
    """Return one case for each environment and replicate of these cases, in the same order.

    Its backend, model and provider are only names. Its held-out episodes are those of the cases that it stands for.
    """
    found: dict[str, Case] = {}
    for case in cases:
        name = f"{SUBMISSION}-{case.environment.name}" + (f"-r{case.replicate}" if replicates > 1 else "")
        if name not in found:
            found[name] = replace(case, id=name, backend=_BACKEND, model=_MODEL, provider=_PROVIDER, wire=_NONE)
    return list(found.values())


def case_to_grade(config: Config) -> Case:
    """Return the case of a program that is graded without an agent, in the only environment of a configuration."""
    [environment] = config.environment.values()
    return Case(
        id=f"{SUBMISSION}-{environment.name}",
        backend=_BACKEND,
        model=_MODEL,
        provider=_PROVIDER,
        wire=_NONE,
        environment=environment,
        prompt=config.prompt_of(environment),
        sandbox=config.sandbox,
        limits=config.limits,
        evaluation=config.evaluation.for_model(scripted=False),
        gateway=config.gateway,
    )

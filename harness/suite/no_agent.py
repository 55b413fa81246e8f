"""The cases of `pytest --submission FOLDER` and `proctor grade`: environments without an agent."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from harness.case import MODEL_OF_NONE, NO_MODEL, PROVIDER_OF_NONE, SUBMISSION, BackendConf, Case
from harness.suite.config import Config

_BACKEND = BackendConf(SUBMISSION, kind="program")


def without_agent(cases: Iterable[Case], replicates: int) -> list[Case]:
    """Return one case for each environment and replicate of these cases, in the same order.

    Its backend, model and provider are only names. Its held-out episodes are those of the cases that it stands for.
    """
    found: dict[str, Case] = {}
    for case in cases:
        name = f"{SUBMISSION}-{case.environment.name}" + (f"-r{case.replicate}" if replicates > 1 else "")
        if name not in found:
            found[name] = replace(
                case, id=name, backend=_BACKEND, model=MODEL_OF_NONE, provider=PROVIDER_OF_NONE, wire=NO_MODEL
            )
    return list(found.values())


def case_to_grade(config: Config) -> Case:
    """Return the case of a program that is graded without an agent, in the only environment of a configuration."""
    [environment] = config.environment.values()
    return Case(
        id=f"{SUBMISSION}-{environment.name}",
        backend=_BACKEND,
        model=MODEL_OF_NONE,
        provider=PROVIDER_OF_NONE,
        wire=NO_MODEL,
        environment=environment,
        prompt=config.prompt_of(environment),
        sandbox=config.sandbox,
        limits=config.limits,
        evaluation=config.evaluation.for_model(scripted=False),
        gateway=config.gateway,
    )

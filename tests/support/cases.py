"""Makes up cases, for tests of code that looks only at a case's names and its server."""

from __future__ import annotations

import msgspec
import yaml

from harness.case import BackendConf, Case, Limits, ModelConf, PromptConf, ProviderConf, SandboxConf
from harness.environment_conf import EnvironmentConf
from harness.grading import EvaluationConf
from harness.packaged import packaged_conf

PROMPT = msgspec.convert(yaml.safe_load((packaged_conf() / "prompt/default.yaml").read_text()), PromptConf)
"""The packaged prompt."""

REMOTE = ProviderConf("remote", kind="remote", wires=["openai_chat"], base_url="https://models.invalid")
LOCAL = ProviderConf("ollama", kind="ollama", wires=["openai_chat"])


def make_case(
    backend: str = "claude",
    model: str = "model",
    environment: str = "maze",
    *,
    provider: ProviderConf = LOCAL,
    gpus: int = 1,
    parallel: int = 1,
    replicate: int = 1,
) -> Case:
    """Return a case with these names. Its model is served on this machine unless `provider` says otherwise."""
    return Case(
        id=f"{backend}-{model}-{environment}-r{replicate}",
        backend=BackendConf(backend),
        model=ModelConf(model, provider.name, gpus=gpus, parallel=parallel),
        provider=provider,
        wire="openai_chat",
        environment=EnvironmentConf(environment, kind="maze"),
        prompt=PROMPT,
        sandbox=SandboxConf("bubblewrap", kind="bubblewrap"),
        limits=Limits(),
        evaluation=EvaluationConf(),
        replicate=replicate,
    )

"""What serves a case's model: the provider that the gateway asks, and what is known of the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from msgspec import Struct

from harness.case import Case, ConfError
from harness.gateway.provider import Provider
from harness.gateway.script import ScriptError, load_script, script_path
from harness.gateway.scripted import ScriptedProvider


class ModelServer(Struct, frozen=True):
    """A model that is ready to be asked.

    `provider(workspace)` makes the gateway's provider for one session, given the workspace's path as its CLI sees it.
    `digest` identifies the weights (of a scripted model: the script), `sha256:` and hexadecimal; null where unknown.
    """

    name: str
    provider: Callable[[str], Provider]
    digest: str | None = None


def scripted_server(case: Case, root: Path) -> ModelServer:
    """The scripted model of a case: plays the script that its model or else its environment names.

    `root` is the folder that holds `conf/`. Raises `ConfError` for a script that is missing or wrong.
    """
    try:
        path = script_path(case.model.script or case.environment.name, root / "conf" / "scripts")
        script = load_script(path)
    except ScriptError as error:
        raise ConfError(f"{case.id}: model.{case.model.name}.script: {error}") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    # One provider, whatever the attempts: what it was told to fail twice has then failed twice in all.
    provider = cache(lambda workspace: ScriptedProvider(script, workspace=workspace))
    return ModelServer(case.model.name, provider, f"sha256:{digest}")

"""The scripted model of a case."""

from __future__ import annotations

import hashlib

from harness.case import Case
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.gateway.script import ScriptError, find_script, load_script
from harness.gateway.scripted import ScriptedProvider
from harness.models.model_server import ModelServer


def scripted_server(case: Case, conf: ConfPath) -> ModelServer:
    """Return a server that plays the script named by the case's model, or else the script of its environment's name.

    Raise `ConfError` if the script is missing or wrong.
    """
    try:
        path = find_script(case.model.script or case.environment.name, conf)
        script = load_script(path)
    except ScriptError as error:
        raise ConfError(f"{case.id}: model.{case.model.name}.script: {error}") from error
    # All attempts share it, so that a turn that should fail twice fails twice in total.
    provider = ScriptedProvider(script)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelServer(case.model.name, lambda: provider, f"sha256:{digest}", stand_in=True)

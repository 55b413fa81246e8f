"""The cassettes of cases: `conf/cassettes/BACKEND-MODEL-ENVIRONMENT.jsonl`, recorded from any model server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec

from harness.case import Case
from harness.endings import ConfError
from harness.gateway.cassette import Cassette, CassetteError, CassettePlayer, Head, Recorder, Tape, load_cassette
from harness.gateway.provider import Provider
from harness.models.model_server import ModelServer


def cassette_server(case: Case, root: Path) -> ModelServer:
    """Plays what the model that `script` names (none: one of this name) answered to this backend in this environment.

    Raises `ConfError` for a cassette that is missing, broken, or of another wire.
    """
    path = _path(case, root, case.model.script or case.model.name)
    try:
        cassette = load_cassette(path)
    except CassetteError as error:
        raise ConfError(f"{case.id}: model.{case.model.name}: {error}") from error
    if cassette.head.wire != case.wire:
        raise ConfError(
            f"{case.id}: {path} was recorded over {cassette.head.wire}, and is asked over {case.wire}: "
            f"put that first in the wires of conf/provider/{case.provider.name}.yaml, or record it anew"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelServer(case.model.name, _player(case, cassette), f"sha256:{digest}")


def recorded(server: ModelServer, case: Case, root: Path) -> ModelServer:
    """The same server, whose answers to the first replicate of a case go onto a new cassette."""
    if case.replicate > 1:
        return server
    path = _path(case, root, case.model.name)

    @cache  # the attempts of a case share a cassette
    def tape(workspace: str) -> Tape:
        head = Head(model=case.model.asked_as, digest=server.digest, wire=case.wire, workspace=workspace)
        return Tape(path, head)

    def provider(workspace: str) -> Provider:
        return Recorder(server.provider(workspace), tape(workspace))

    return msgspec.structs.replace(server, provider=provider)


def _player(case: Case, cassette: Cassette) -> Callable[[str], Provider]:
    @cache  # whatever the attempts: what was played is over
    def provider(workspace: str) -> Provider:
        if workspace != cassette.head.workspace:
            raise ConfError(
                f"{case.id}: {cassette.path} was recorded in the workspace {cassette.head.workspace}, and this sandbox "
                f"has {workspace}: choose that sandbox, or record it anew"
            )
        return CassettePlayer(cassette)

    return provider


def _path(case: Case, root: Path, model: str) -> Path:
    return root / "conf" / "cassettes" / f"{case.backend.name}-{model}-{case.environment.name}.jsonl"
